"""What a run of the client's leg means, on small results of our own; and that the client refuses what it has not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conformance.client import CARRIED_OUT, NO_SUCH_SCENARIO, SCENARIOS
from tests.conformance.client_verdict import Expectations, Expected, judge_client, read_expectations
from tests.conformance.plays import PLAYS
from tests.conformance.run import CLIENT_EXPECTED, FLOORS
from tests.conformance.verdict import Check, Scenario, read_scenarios
from tests.interop.served import ROOT

PRINTED = ("R over streamable-http", CARRIED_OUT)
EXPECTATIONS = Expectations(
    scenarios={"calling": Expected(["Named", "Named", "Answered"], {"Old": "SKIPPED: it is gone"})}, later=["auth/all"]
)
AS_EXPECTED = (("Named", "SUCCESS"), ("Named", "SUCCESS"), ("Answered", "SUCCESS"), ("Old", "SKIPPED"))
LATER = Scenario("auth/all", [Check(id="token", status="FAILURE")])


def _calling(*ended: tuple[str, str], printed: Sequence[str] = PRINTED) -> Scenario:
    return Scenario("calling", [Check(id="an-id", name=name, status=status) for name, status in ended], printed)


def test_all_as_expected_is_good() -> None:
    """Each check as it is expected, notes beside them, and scenarios for later that fail: nothing is wrong."""
    assert judge_client("R", [_calling(*AS_EXPECTED, ("Heard", "INFO")), LATER], EXPECTATIONS) == []


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (AS_EXPECTED[1:], "Named did not end with SUCCESS"),
        ((*AS_EXPECTED[:2], ("Answered", "SKIPPED"), AS_EXPECTED[3]), "Answered did not end with SUCCESS"),
        ((*AS_EXPECTED[:3], ("Old", "WARNING")), "Old ended with WARNING"),
        ((*AS_EXPECTED, ("New", "SUCCESS")), "New ended with SUCCESS"),
        ((*AS_EXPECTED, ("New", "WARNING")), "New ended with WARNING"),
        ((*AS_EXPECTED, ("New", "FAILURE")), "New ended with FAILURE"),
        ((), "Answered did not end with SUCCESS"),
    ],
)
def test_another_check_is_told(ended: tuple[tuple[str, str], ...], said: str) -> None:
    """A check that is missing, that ended otherwise, or that nobody expected is told, whatever its status."""
    told = judge_client("R", [_calling(*ended), LATER], EXPECTATIONS)
    assert any(line.startswith(f"calling: {said}") for line in told)


@pytest.mark.parametrize(
    "printed",
    [(), PRINTED[:1], PRINTED[1:], ("S over streamable-http", CARRIED_OUT), (*PRINTED, "Traceback")],
)
def test_a_client_that_failed_is_told(printed: tuple[str, ...]) -> None:
    """Checks may pass with a client that broke off, or that spoke another revision."""
    assert judge_client("R", [_calling(*AS_EXPECTED, printed=printed), LATER], EXPECTATIONS)


def test_scenarios_are_known_by_name() -> None:
    """One that did not run, one of which nothing is expected, and one for later that passes, are each told."""
    passing = Scenario("auth/all", [Check(id="token", status="SUCCESS")])
    assert judge_client("R", [_calling(*AS_EXPECTED)], EXPECTATIONS) == ["auth/all: did not run"]
    assert judge_client("R", [LATER], EXPECTATIONS) == ["calling: did not run"]
    assert judge_client("R", [_calling(*AS_EXPECTED), LATER, Scenario("new", [])], EXPECTATIONS) == [
        "new: nobody said what is expected of it"
    ]
    assert judge_client("R", [_calling(*AS_EXPECTED), passing], EXPECTATIONS) == [
        "auth/all: passes now, so remove it from those for later"
    ]


def test_the_client_has_what_is_expected() -> None:
    """All scenarios that are expected to pass are carried out, and no others; only authorization is for later."""
    expectations = read_expectations(CLIENT_EXPECTED.read_text())
    assert expectations.keys() == FLOORS.keys()
    assert {name for one in expectations.values() for name in one.scenarios} == SCENARIOS == PLAYS.keys()
    assert all(name.startswith("auth/") for one in expectations.values() for name in one.later)


def test_a_scenario_that_it_does_not_have_is_refused() -> None:
    """The client exits with a status of its own when nothing is done for a scenario."""
    command = [sys.executable, "-m", "tests.conformance.client", "http://127.0.0.1:9/mcp"]
    environment = {"MCP_CONFORMANCE_SCENARIO": "auth/basic-cimd"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=20, check=False)
    assert done.returncode == NO_SUCH_SCENARIO
    assert b"auth/basic-cimd" in done.stderr


def test_results_are_read_as_the_suite_writes_them(tmp_path: Path) -> None:
    """The directories of the client's leg have no prefix and may be nested; what the client printed stands beside."""
    directory = tmp_path / "auth" / "basic-cimd-2026-11-20T15-06-09-190Z"
    directory.mkdir(parents=True)
    (directory / "checks.json").write_text(json.dumps([{"id": "a", "name": "A", "status": "SUCCESS"}]))
    (directory / "stdout.txt").write_text("one\ntwo\n")
    [scenario] = read_scenarios(tmp_path)
    assert scenario == Scenario("auth/basic-cimd", [Check(id="a", name="A", status="SUCCESS")], ["one", "two"])
