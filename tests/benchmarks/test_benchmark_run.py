"""What the benchmarks are asked for, what they build, and how they tell what they found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import build, clients, report
from benchmarks.cases import CASES
from benchmarks.comparison import build_load, order, read_choice
from benchmarks.goals import GOALS, judge
from benchmarks.load import LoadError
from benchmarks.measure import Sample
from benchmarks.peers import PEERS
from benchmarks.report import Outcome


def outcome(*rates: float, errors: list[str] | None = None) -> Outcome:
    """A run of the echo case on one peer."""
    samples = [
        Sample(case="echo", peer="mcpserve", load="64 connections", repeat=repeat, values={"rps": rate})
        for repeat, rate in enumerate(rates)
    ]
    return Outcome(machine={}, samples=samples, verdicts=[judge(GOALS[0], samples)], errors=errors or [])


def test_without_options_everything_is_measured() -> None:
    """All cases and all peers, repeated."""
    choice = read_choice([])
    assert (choice.cases, list(choice.peers), choice.repeats) == (list(CASES), list(PEERS), 3)


def test_cases_and_peers_can_be_chosen() -> None:
    """They keep our order, not that of the command line."""
    choice = read_choice(["--only", "start,echo", "--peers", "python,mcpserve", "--repeats", "2", "--seconds", "0.5"])
    assert choice.cases == ["echo", "start"]
    assert [peer.name for peer in choice.peers] == ["mcpserve", "python"]
    assert (choice.repeats, choice.plan.seconds) == (2, 0.5)


def test_quick_is_one_short_repeat_unless_told_otherwise() -> None:
    """An explicit number counts more than quick."""
    assert read_choice(["--quick"]).repeats == 1
    assert read_choice(["--quick", "--repeats", "5"]).repeats == 5
    assert read_choice(["--quick"]).plan.seconds < read_choice([]).plan.seconds


@pytest.mark.parametrize("words", [["--only", "ehco"], ["--peers", "go"], ["--repeats", "0"], ["--seconds", "-1"]])
def test_a_wrong_choice_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With one sentence and the status of a usage error."""
    with pytest.raises(SystemExit, match="2"):
        read_choice(words)
    assert "error: argument" in capsys.readouterr().err


def test_peers_take_turns_within_each_repeat() -> None:
    """What disturbs the machine for a while hits all of them; a peer stays out of cases that it does not have."""
    choice = read_choice(["--only", "ticks,start", "--peers", "python,fastmcp", "--repeats", "2"])
    assert [(case, peer.name, repeat) for case, peer, repeat in order(choice)] == [
        ("ticks", "python", 0),
        ("ticks", "python", 1),
        ("start", "python", 0),
        ("start", "fastmcp", 0),
        ("start", "python", 1),
        ("start", "fastmcp", 1),
    ]


def test_a_table_shows_the_median_and_the_spread() -> None:
    """Beside the goal stands that it was not measured against anybody."""
    text = report.as_text(outcome(11_000, 9_000, 12_000.4))
    assert "11,000 (9,000..12,000)" in text
    assert "not measured" in text
    assert "errors: 0" in text


def test_errors_stand_at_the_end() -> None:
    """Each of them."""
    text = report.as_text(outcome(1, errors=["echo, python: closed", "ticks, mcpserve: late"]))
    assert text.endswith("errors: 2\n- echo, python: closed\n- ticks, mcpserve: late\n")


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "0.12"), (12.34, "12.3"), (1234.5, "1,234"), (5, "5"), (0, "0"), (250.0, "250")]
)
def test_numbers_show_the_digits_that_mean_something(value: float, text: str) -> None:
    """Three or four."""
    assert report.number(value) == text


def test_a_run_can_be_written_as_data() -> None:
    """Samples and verdicts survive JSON."""
    data = json.loads(json.dumps(report.as_data(outcome(100))))
    assert data["samples"][0]["values"] == {"rps": 100}
    assert data["verdicts"][0]["word"] == "not measured"


def test_a_product_is_stale_when_it_or_its_recipe_changed(tmp_path: Path) -> None:
    """A product that was built from the same recipe is kept."""
    product = tmp_path / "streams"
    assert build.is_stale(product, "recipe")
    product.write_text("program")
    build.stamp(product, "recipe")
    assert not build.is_stale(product, "recipe")
    assert build.is_stale(product, "another recipe")


def test_clients_need_no_load_programs() -> None:
    """Their cases run where there is neither wrk nor Node."""
    assert not read_choice(["--only", "client-calls,client-events"]).serves
    assert read_choice(["--only", "client-calls,echo"]).serves
    assert build_load(False, 0, Path()).wrk == ""


def test_the_report_of_a_client_is_its_last_line() -> None:
    """What it said before is passed over; CPU time is told by call."""
    report = clients.read_report(0, 'warm\n{"count": 4, "elapsed": 2.0, "cpu": 1.0}\n', "")
    assert report["count"] == 4
    assert clients.cpu(report) == {"cpu_us": 250_000, "per_cpu_s": 4, "core_share": 0.5}


@pytest.mark.parametrize(("status", "output"), [(1, ""), (0, '{"count": 0, "elapsed": 1.0, "cpu": 1.0}')])
def test_a_client_that_failed_or_did_nothing_fails_the_measurement(status: int, output: str) -> None:
    """It gives no numbers."""
    with pytest.raises(LoadError):
        clients.read_report(status, output, "AssertionError: 9 events")


def test_a_missing_program_says_what_to_install() -> None:
    """The text is what to type."""
    with pytest.raises(build.BuildError, match="no-such-program is not installed; on Debian: apt-get install"):
        build.find("no-such-program")
