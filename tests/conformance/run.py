"""Runs the official conformance suite against the served fixture: `python -m tests.conformance.run`.

It runs both requirement sets, prints every scenario with its checks, and compares the failures with
`expected_failures.txt` beside this file. `--url` runs against a server that is already there.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.conformance.serve import command
from tests.conformance.verdict import Floor, Scenario, Verdict, judge, read_expected, read_scenarios
from tests.interop.peers import node_binary, node_modules
from tests.interop.served import Served, free_port, running

EXPECTED = Path(__file__).with_name("expected_failures.txt")

FLOORS = {
    "2025-11-25": Floor(scenarios=33, successes=83),
    "2026-07-28": Floor(scenarios=50, successes=196),
}
"""Raise the successes when a feature arrives: they keep a run from passing because nothing happened."""

RUN_SECONDS = 300.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite.

    Returns:
        0 if every failure was expected and every expected failure happened, 1 otherwise.
    """
    parser = argparse.ArgumentParser(description="Run the official conformance suite against the fixture.")
    parser.add_argument("--url", help="a running server, instead of one that this starts")
    parser.add_argument("--revision", choices=sorted(FLOORS), action="append", help="only this requirement set")
    options = parser.parse_args(arguments)
    revisions = options.revision or sorted(FLOORS)
    with tempfile.TemporaryDirectory(prefix="mcpserve-conformance-") as scratch, _target(options.url, scratch) as url:
        runs = {revision: run_suite(url, revision, Path(scratch)) for revision in revisions}
    return _report(runs)


@contextmanager
def _target(url: str | None, scratch: str) -> Iterator[str]:
    if url is not None:
        yield url
        return
    port = free_port()
    with running(command(port), f"http://127.0.0.1:{port}/mcp", Path(scratch, "server.log")) as server:
        yield server.url
        _still_there(server)


def _still_there(server: Served) -> None:
    if server.process.poll() is not None:
        raise AssertionError(f"the server died during the run:\n{server.log.read_text()[-4000:]}")


def run_suite(url: str, revision: str, scratch: Path) -> list[Scenario]:
    """Run one requirement set against a server and read its checks; the exit status says less than they do."""
    modules = node_modules()
    results = scratch / revision
    script = modules / ".bin" / "conformance"
    argv = [str(node_binary(modules)), str(script), "server", "--url", url, "--requirements", revision]
    with (scratch / f"{revision}.log").open("wb") as output:
        subprocess.run(
            [*argv, "-o", str(results)],
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=RUN_SECONDS,
            check=False,
        )
    scenarios = read_scenarios(results)
    if not scenarios:
        raise AssertionError(f"the suite ran no scenario:\n{(scratch / f'{revision}.log').read_text()[-4000:]}")
    return scenarios


def _report(runs: dict[str, list[Scenario]]) -> int:
    expected = read_expected(EXPECTED.read_text())
    verdicts = [_report_one(revision, scenarios, expected) for revision, scenarios in runs.items()]
    passed = sum(not one.failed for scenarios in runs.values() for one in scenarios)
    known = sum(bool(one.failed) for scenarios in runs.values() for one in scenarios)
    bad = sum(len(verdict.lines()) for verdict in verdicts)
    print(f"\nconformance: {passed} scenarios pass, {known} stand in the list of expected failures or are new")
    print(f"{passed} passed, {bad} failed")
    return 0 if all(verdict.good for verdict in verdicts) else 1


def _report_one(revision: str, scenarios: list[Scenario], expected: set[str]) -> Verdict:
    print(f"\nrequirements {revision}" + " " * 34 + "passed failed warned")
    for one in scenarios:
        counts = (one.count("SUCCESS"), one.count("FAILURE"), one.count("WARNING"))
        print(f"{'FAIL' if one.failed else 'ok  '} {one.name:50}" + "".join(f"{count:7}" for count in counts))
        for check in one.checks:
            if check.status in ("FAILURE", "WARNING"):
                print(f"         {check.status.lower()} {check.id}: {check.message[:300]}")
    verdict = judge(revision, scenarios, expected, FLOORS[revision])
    for line in verdict.lines():
        print(f"!!! {line}")
    return verdict


if __name__ == "__main__":
    raise SystemExit(main())
