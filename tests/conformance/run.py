"""Runs the official conformance suite: `python -m tests.conformance.run`, both legs, both requirement sets.

The server's leg goes against the served fixture, and its failures are compared with `expected_failures.txt`; `--url`
runs it against a server that is already there. The client's leg starts `python -m tests.conformance.client`, and its
checks are compared with `client_expected.toml`. All scenarios are printed, with what is remarkable of their checks.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.conformance.client_verdict import judge_client, read_expectations
from tests.conformance.serve import command
from tests.conformance.suite import run_suite
from tests.conformance.verdict import Floor, Scenario, judge, read_expected
from tests.interop.served import ROOT, Served, free_port, running

EXPECTED = Path(__file__).with_name("expected_failures.txt")
CLIENT_EXPECTED = Path(__file__).with_name("client_expected.toml")

FLOORS = {
    "2025-11-25": Floor(scenarios=33, successes=83),
    "2026-07-28": Floor(scenarios=50, successes=196),
}
"""Raise the successes when a feature arrives: they keep a run from passing because nothing happened."""

CLIENT = f"cd {shlex.quote(str(ROOT))} && exec {shlex.quote(sys.executable)} -m tests.conformance.client"
"""The suite runs it through a shell, with the URL behind it."""

CLIENT_MILLISECONDS = 60_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite.

    Returns:
        0 if all ended as expected, 1 otherwise.
    """
    parser = argparse.ArgumentParser(description="Run the official conformance suite against the fixtures.")
    parser.add_argument("--leg", choices=sorted(LEGS), action="append", help="only this leg")
    parser.add_argument("--url", help="for the server's leg, a running server, instead of one that this starts")
    parser.add_argument("--revision", choices=sorted(FLOORS), action="append", help="only this requirement set")
    options = parser.parse_args(arguments)
    revisions = options.revision or sorted(FLOORS)
    wrong: list[str] = []
    passed = 0
    for leg in options.leg or sorted(LEGS, reverse=True):
        with tempfile.TemporaryDirectory(prefix="mcpserve-conformance-") as scratch:
            runs, sentences = LEGS[leg](options.url, revisions, Path(scratch))
        passed += sum(not one.failed for scenarios in runs.values() for one in scenarios)
        wrong += sentences
    print(f"\n{passed} passed, {len(wrong)} failed")
    return 1 if wrong else 0


Runs = Mapping[str, Sequence[Scenario]]


def _server_leg(url: str | None, revisions: Sequence[str], scratch: Path) -> tuple[Runs, list[str]]:
    with _target(url, scratch) as target:
        runs = {revision: run_suite(["server", "--url", target], revision, scratch) for revision in revisions}
    expected = read_expected(EXPECTED.read_text())
    wrong: list[str] = []
    for revision, scenarios in runs.items():
        verdict = judge(revision, scenarios, expected, FLOORS[revision])
        _print("server", revision, scenarios, verdict.lines())
        wrong += verdict.lines()
    return runs, wrong


def _client_leg(url: str | None, revisions: Sequence[str], scratch: Path) -> tuple[Runs, list[str]]:
    expectations = read_expectations(CLIENT_EXPECTED.read_text())
    leg = ["client", "--command", CLIENT, "--timeout", str(CLIENT_MILLISECONDS)]
    runs, wrong = {}, []
    for revision in revisions:
        scenarios = run_suite(leg, revision, scratch)
        later = expectations[revision].later
        sentences = judge_client(revision, scenarios, expectations[revision])
        runs[revision] = [one for one in scenarios if one.name not in later]
        _print("client", revision, runs[revision], sentences)
        print(f"not yet done, and so failing: {', '.join(later)}")
        wrong += sentences
    return runs, wrong


LEGS: Mapping[str, Callable[[str | None, Sequence[str], Path], tuple[Runs, list[str]]]] = {
    "server": _server_leg,
    "client": _client_leg,
}


@contextmanager
def _target(url: str | None, scratch: Path) -> Iterator[str]:
    if url is not None:
        yield url
        return
    port = free_port()
    with running(command(port), f"http://127.0.0.1:{port}/mcp", scratch / "server.log") as server:
        yield server.url
        _still_there(server)


def _still_there(server: Served) -> None:
    if server.process.poll() is not None:
        raise AssertionError(f"the server died during the run:\n{server.log.read_text()[-4000:]}")


def _print(leg: str, revision: str, scenarios: Sequence[Scenario], wrong: Sequence[str]) -> None:
    print(f"\n{leg}, requirements {revision}" + " " * 26 + "passed failed warned")
    for one in scenarios:
        counts = (one.count("SUCCESS"), one.count("FAILURE"), one.count("WARNING"))
        print(f"{'FAIL' if one.failed else 'ok  '} {one.name:50}" + "".join(f"{count:7}" for count in counts))
        for check in one.checks:
            if check.status in ("FAILURE", "WARNING"):
                print(f"         {check.status.lower()} {check.id}: {check.message[:300]}")
    for line in wrong:
        print(f"!!! {line}")


if __name__ == "__main__":
    raise SystemExit(main())
