"""What a run of the conformance suite means, on small results of our own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance.verdict import HOLLOW, Check, Floor, Scenario, judge, read_expected, read_scenarios

NO_FLOOR = Floor(scenarios=0, successes=0)


def _scenario(name: str, *outcomes: tuple[str, str]) -> Scenario:
    return Scenario(name, [Check(id=check, status=status, message="why") for check, status in outcomes])


PASSING = _scenario("tools-list", ("named", "SUCCESS"), ("pretty", "WARNING"))
FAILING = _scenario("ping", ("answered", "SUCCESS"), ("empty", "FAILURE"))


def test_a_pass_is_good() -> None:
    """A run without failures is good when none is expected; a warning does not change that."""
    verdict = judge("R", [PASSING], [], Floor(scenarios=1, successes=1))
    assert verdict.good
    assert verdict.lines() == []


def test_an_unexpected_failure_is_named() -> None:
    """A failure that is not on the list is reported with revision, scenario, check and reason."""
    verdict = judge("R", [PASSING, FAILING], [], NO_FLOOR)
    assert not verdict.good
    assert verdict.unexpected == {"R/ping/empty": "why"}


def test_an_expected_failure_is_good() -> None:
    """A failure on the list is as expected."""
    assert judge("R", [FAILING], ["R/ping/empty"], NO_FLOOR).good


@pytest.mark.parametrize("entry", ["R/tools-list/named", "R/gone/check", "R/ping/answered"])
def test_an_entry_that_no_longer_fails_must_go(entry: str) -> None:
    """An entry that passes, or that nothing stands for any more, fails the run until it is removed."""
    verdict = judge("R", [PASSING, FAILING], ["R/ping/empty", entry], NO_FLOOR)
    assert not verdict.good
    assert verdict.stale == [entry]


def test_other_revisions_do_not_matter() -> None:
    """Entries of another requirement set are neither needed nor stale."""
    assert judge("R", [PASSING], ["S/ping/empty"], NO_FLOOR).good


@pytest.mark.parametrize(
    "outcomes",
    [(), (("asked", "WARNING"),), (("asked", "SKIPPED"),), (("wire-schema-valid", "SUCCESS"), ("asked", "INFO"))],
)
def test_a_scenario_without_success_is_hollow(outcomes: tuple[tuple[str, str], ...]) -> None:
    """A scenario in which nothing of its own succeeded counts as failed."""
    verdict = judge("R", [_scenario("asking", *outcomes)], [], NO_FLOOR)
    assert list(verdict.unexpected) == [f"R/asking/{HOLLOW}"]


@pytest.mark.parametrize("floor", [Floor(scenarios=2, successes=0), Floor(scenarios=0, successes=2)])
def test_a_run_below_its_floor_is_bad(floor: Floor) -> None:
    """Too few scenarios, or too few successes, fail the run even when nothing failed."""
    assert len(judge("R", [PASSING], [], floor).shortfall) == 1


def test_the_list_has_comments() -> None:
    """Comments and empty lines of the list are not entries."""
    assert read_expected("# heading\n\nR/a/b  # later\nR/c/d\n") == {"R/a/b", "R/c/d"}


def test_results_are_read_as_the_suite_writes_them(tmp_path: Path) -> None:
    """The suite's directories give the names, its JSON the checks."""
    directory = tmp_path / "server-sep-2164-resource-not-found-2026-11-20T11-28-13-123Z"
    directory.mkdir()
    (directory / "checks.json").write_text(
        json.dumps([{"id": "a", "status": "SUCCESS"}, {"id": "b", "status": "FAILURE", "errorMessage": "x\n y"}])
    )
    [scenario] = read_scenarios(tmp_path)
    assert scenario.name == "sep-2164-resource-not-found"
    assert scenario.failed == {"b": "x y"}


def test_a_strange_result_directory_is_refused(tmp_path: Path) -> None:
    """A directory that is not named as the suite does it must not be skipped in silence."""
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "checks.json").write_text("[]")
    with pytest.raises(ValueError, match="strange"):
        read_scenarios(tmp_path)
