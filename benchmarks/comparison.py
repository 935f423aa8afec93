"""Runs the comparison: the command line, the order of the measurements, the exit status."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

import attrs

from benchmarks import build, clients, report
from benchmarks.bench import QUICK, Bench, Plan
from benchmarks.cases import CASES, FAILURES
from benchmarks.goals import GOALS, judge
from benchmarks.load import Load
from benchmarks.measure import Sample, choose_cores, raise_file_limit
from benchmarks.peers import PEERS, Peer, Programs

REPEATS = 3
SECONDS = 3.0
SPARE_FILES = 200  # open files besides the streams, on either side


@attrs.frozen(kw_only=True)
class Choice:
    """What the command line asks for.

    Attributes:
        cases: The cases to run, in their order.
        peers: The peers to measure, in their order.
        repeats: How often each is measured.
        plan: How much is measured each time.
        json: Where to write the run as data, None for nowhere.
    """

    cases: Sequence[str]
    peers: Sequence[Peer]
    repeats: int
    plan: Plan
    json: Path | None

    @property
    def serves(self) -> bool:
        """Whether servers are measured; clients need neither the load programs nor Node."""
        return any(case not in clients.CASES for case in self.cases)


def main(arguments: Sequence[str]) -> int:
    """Run the comparison and print it.

    Returns:
        The exit status: 1 if anything went wrong, also if nothing could be built, 130 if it was stopped; missed goals
        do not matter here.
    """
    choice = read_choice(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # an exception, so that what we started is stopped
    try:
        outcome = compare(choice)
    except build.BuildError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(report.as_text(outcome))
    if choice.json is not None:
        choice.json.write_text(json.dumps(report.as_data(outcome), indent=1) + "\n")
    return 1 if outcome.errors else 0


def read_choice(arguments: Sequence[str]) -> Choice:
    """Read the command line."""
    options = make_parser().parse_args(arguments)
    plan = QUICK if options.quick else Plan(seconds=SECONDS)
    return Choice(
        cases=[name for name in CASES if name in options.only],
        peers=[peer for peer in PEERS if peer.name in options.peers],
        repeats=options.repeats or (1 if options.quick else REPEATS),
        plan=attrs.evolve(plan, seconds=options.seconds or plan.seconds),
        json=options.json,
    )


def make_parser() -> argparse.ArgumentParser:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure mcpserve beside its peers on this machine: one core for the server, one for the load.",
    )
    peers = [peer.name for peer in PEERS]
    some_cases, some_peers = partial(read_names, list(CASES)), partial(read_names, peers)
    parser.add_argument("--only", type=some_cases, default=list(CASES), help=f"cases: {','.join(CASES)}")
    parser.add_argument("--peers", type=some_peers, default=peers, help=f"peers: {','.join(peers)}")
    parser.add_argument("--repeats", type=positive_int, help=f"interleaved repeats, {REPEATS} by default")
    parser.add_argument("--seconds", type=positive_float, help=f"length of one measurement, {SECONDS} by default")
    parser.add_argument("--quick", action="store_true", help="one short repeat, to see that all of it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the run as data, too")
    return parser


def read_names(known: Collection[str], word: str) -> list[str]:
    """Read names, separated by commas; an unknown one is an error that lists the known ones."""
    names = [name.strip() for name in word.split(",")]
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"unknown name {name!r}; known are {', '.join(known)}")
    return names


def positive_int(word: str) -> int:
    """Read a whole number above zero."""
    if int(word) <= 0:
        raise argparse.ArgumentTypeError(f"{word} is not above zero")
    return int(word)


def positive_float(word: str) -> float:
    """Read a number above zero."""
    if not float(word) > 0:
        raise argparse.ArgumentTypeError(f"{word} is not above zero")
    return float(word)


def compare(choice: Choice) -> report.Outcome:
    """Build, measure everything, judge the goals."""
    most = max(*choice.plan.streams, *choice.plan.connections) + SPARE_FILES
    if raise_file_limit() < most and choice.serves:
        raise build.BuildError(f"too few open files are allowed: {most} are needed (ulimit -n)")
    cores = choose_cores(os.sched_getaffinity(0))
    samples: list[Sample] = []
    errors: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs, load = build_programs(choice.serves), build_load(choice.serves, cores.load, folder)
        bench = Bench(plan=choice.plan, programs=programs, load=load, cores=cores, folder=folder)
        machine = describe_machine(bench)
        os.sched_setaffinity(0, {cores.load})
        for case, peer, repeat in order(choice):
            measure_one(bench, case, peer, repeat, samples, errors)
    verdicts = [judge(goal, samples) for goal in GOALS if goal.case in choice.cases]
    return report.Outcome(machine=machine, samples=samples, verdicts=verdicts, errors=errors)


def build_programs(serves: bool) -> Programs:
    """Build what the peers run on."""
    return Programs(
        mcpserve=sys.executable,
        python=str(build.build_python_peers()),
        node_folder=build.build_node_peers() if serves else build.CACHE,
        node=build.find("node") if serves else "",
    )


def build_load(serves: bool, core: int, folder: Path) -> Load:
    """Build the load programs."""
    wrk, streams = (build.find("wrk"), str(build.build_streams())) if serves else ("", "")
    return Load(wrk=wrk, streams=streams, core=core, folder=folder)


def order(choice: Choice) -> Iterator[tuple[str, Peer, int]]:
    """The measurements in their order: a case at a time, the peers interleaved within each repeat."""
    for case in choice.cases:
        for repeat in range(choice.repeats):
            for peer in choice.peers:
                if case in peer.cases:
                    yield case, peer, repeat


def measure_one(bench: Bench, case: str, peer: Peer, repeat: int, samples: list[Sample], errors: list[str]) -> None:
    """Measure one peer in one case; what goes wrong is kept and the run goes on."""
    print(f"{time.strftime('%H:%M:%S')} {case}, {peer.name}, repeat {repeat + 1}", file=sys.stderr, flush=True)
    try:
        for reading in CASES[case](bench, peer):
            samples.append(Sample(case=case, peer=peer.name, load=reading.load, repeat=repeat, values=reading.values))
    except FAILURES as error:
        errors.append(f"{case}, {peer.name}, repeat {repeat + 1}: {error}")
        print(f"  error: {error}", file=sys.stderr, flush=True)


def describe_machine(bench: Bench) -> dict[str, str]:
    """What the numbers depend on."""
    shared = ", ONE CORE FOR BOTH: the numbers are worthless" if bench.cores.shared else ""
    return {
        "machine": f"{os.cpu_count()} x {processor_name()}, Linux {platform.release()}",
        "cores": f"server {bench.cores.server}, load {bench.cores.load}{shared}",
        "load average before": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "python": platform.python_version(),
        "node": node_version(bench.programs.node),
        "peers": ", ".join((build.HERE / "peers" / "requirements.txt").read_text().split()),
        "plan": str(bench.plan),
    }


def node_version(node: str) -> str:
    """What Node calls itself."""
    if not node:
        return "not used"
    return subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20).stdout.strip()


def processor_name() -> str:
    """What the kernel calls the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
