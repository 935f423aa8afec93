"""The numbers of the benchmarks: what /proc says, percentiles, spreads, goals."""

from __future__ import annotations

import pytest

from benchmarks import measure
from benchmarks.cases import cancellation
from benchmarks.goals import GOALS, Goal, judge, limit, ratio
from benchmarks.measure import Sample, Spread
from benchmarks.peers import PEERS


def sample(peer: str, repeat: int, rps: float) -> Sample:
    """A reading of the echo case."""
    return Sample(case="echo", peer=peer, load="64 connections", repeat=repeat, values={"rps": rps})


FASTER = ratio("faster", case="echo", load="64 connections", metric="rps", against="python", bound=4)


def test_cpu_time_is_user_and_system_time_behind_the_command() -> None:
    """A command with blanks and brackets does not shift the fields."""
    fields = ["S", *("0" for _ in range(10)), "250", "150", *("0" for _ in range(30))]
    assert measure.parse_cpu_seconds(f"77 (a (b) c) {' '.join(fields)}") == 400 / measure.TICKS


def test_memory_is_the_resident_set() -> None:
    """VmRSS is taken, not its neighbours."""
    assert measure.parse_memory_kb("VmHWM:\t  900 kB\nVmRSS:\t  512 kB\nRssAnon:\t 1 kB\n") == 512


@pytest.mark.parametrize(("share", "expected"), [(0, 1), (0.5, 51), (0.99, 100), (1, 101)])
def test_a_percentile_is_one_of_the_values(share: float, expected: float) -> None:
    """The nearest rank is taken, whatever the order of the values."""
    assert measure.percentile(list(range(101, 0, -1)), share) == expected


def test_repeats_are_summed_up_by_median_and_extremes() -> None:
    """One wild repeat moves the spread but not the median."""
    assert measure.spread([10, 500, 12]) == Spread(12, 10, 500)


@pytest.mark.parametrize(("allowed", "cores"), [({0, 1}, (0, 1)), ({2, 5, 7}, (2, 7)), ({3}, (3, 3))])
def test_server_and_load_get_cores_of_their_own(allowed: set[int], cores: tuple[int, int]) -> None:
    """They share one only where there is no other, and the cores say so."""
    chosen = measure.choose_cores(allowed)
    assert (chosen.server, chosen.load) == cores
    assert chosen.shared == (len(allowed) == 1)


def test_a_ratio_is_taken_within_each_repeat() -> None:
    """A repeat that slowed both sides down does not change the ratio."""
    samples = [
        sample("mcpserve", 0, 400),
        sample("python", 0, 100),
        sample("mcpserve", 1, 200),
        sample("python", 1, 50),
    ]
    verdict = judge(FASTER, samples)
    assert (verdict.measured, verdict.word) == (Spread(4, 4, 4), "pass")


def test_a_repeat_without_the_other_side_does_not_count() -> None:
    """There is nothing to divide by."""
    samples = [sample("mcpserve", 0, 300), sample("python", 0, 100), sample("mcpserve", 1, 900)]
    verdict = judge(FASTER, samples)
    assert (verdict.measured, verdict.word) == (Spread(3, 3, 3), "MISS")


def test_without_samples_a_goal_is_not_measured() -> None:
    """It is neither passed nor missed."""
    assert judge(FASTER, [sample("mcpserve", 0, 300)]).word == "not measured"


@pytest.mark.parametrize(("rps", "word"), [(99, "pass"), (100, "pass"), (101, "MISS")])
def test_a_limit_is_held_up_to_its_bound(rps: float, word: str) -> None:
    """The bound itself passes."""
    goal = limit("low", case="echo", load="64 connections", metric="rps", bound=100)
    assert judge(goal, [sample("mcpserve", 0, rps)]).word == word


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.text)
def test_each_goal_is_measured_by_a_case(goal: Goal) -> None:
    """The case, and the peers that it names, exist and meet in that case."""
    from_case = {peer.name for peer in PEERS if goal.case in peer.cases}
    assert {goal.peer, goal.against or goal.peer} <= from_case


def test_cancellations_are_matched_by_number() -> None:
    """The order in which the server writes does not matter; what it never wrote is counted."""
    record = "100002 12.004\n100000 10.001\n"
    values = cancellation([10.0, 11.0, 12.0], record)
    assert (values["cycles"], values["never"]) == (3, 1)
    assert values["max_ms"] == pytest.approx(4)


def test_a_peer_that_never_cancels_has_no_latency() -> None:
    """It gets a count instead of a zero."""
    assert cancellation([10.0, 11.0], "") == {"cycles": 2, "never": 2}
