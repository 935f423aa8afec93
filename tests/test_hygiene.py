"""The hygiene of `conftest.py`, shown on tests that would pass without it."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")

HEADER = """
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail
from twisted.internet.protocol import Factory
from twisted.logger import Logger
import pytest

class Spilt(Exception):
    pass

"""

FAULTS = {
    "a failure is logged": (
        "def test_it():\n    try:\n        raise Spilt\n    except Spilt:\n        Logger().failure('milk')\n",
        "*unexpected failures*",
    ),
    "a failed Deferred is dropped": ("def test_it():\n    fail(Spilt())\n", "*unexpected failures*"),
    "a delayed call stays": ("def test_it():\n    reactor.callLater(60, print)\n", "*left these in the reactor*"),
    "a port stays open": (
        "def test_it():\n    reactor.listenTCP(0, Factory(), interface='127.0.0.1')\n",
        "*left these in the reactor*",
    ),
    "a coroutine hangs": (
        "@pytest.mark.deadline(0.1)\nasync def test_it():\n    await Deferred()\n",
        "*TimeoutError*",
    ),
    "a Deferred never fires": (
        "@pytest.mark.deadline(0.1)\ndef test_it():\n    return Deferred()\n",
        "*TimeoutError*",
    ),
}


def _run(pytester: pytest.Pytester, test: str) -> pytest.RunResult:
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makeini("[pytest]\nmarkers = deadline(seconds): patience\n")
    pytester.makepyfile(HEADER + test)
    # In a process of its own: there is one reactor in each, and this test stands in ours.
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=30)


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_silent_fault_fails(pytester: pytest.Pytester, fault: str) -> None:
    """What Twisted lets pass in silence fails the test, and the report says what it was."""
    test, complaint = FAULTS[fault]
    result = _run(pytester, test)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([complaint])


def test_expected_failures_are_forgiven(pytester: pytest.Pytester) -> None:
    """A logged failure that the test takes out with `flush_logged_errors` does not fail it."""
    result = _run(
        pytester,
        "def test_it(flush_logged_errors):\n    fail(Spilt())\n    assert len(flush_logged_errors(Spilt)) == 1\n",
    )
    result.assert_outcomes(passed=1)


def test_a_flush_takes_only_its_types(pytester: pytest.Pytester) -> None:
    """Flushing one type leaves failures of another type unexpected."""
    result = _run(
        pytester,
        "def test_it(flush_logged_errors):\n    fail(Spilt())\n    assert flush_logged_errors(KeyError) == []\n",
    )
    result.assert_outcomes(passed=1, errors=1)


def test_a_socket_that_closes_in_time_is_clean(pytester: pytest.Pytester) -> None:
    """A delayed call that comes due right after the test is no leftover."""
    result = _run(pytester, "def test_it():\n    reactor.callLater(0.05, lambda: None)\n")
    result.assert_outcomes(passed=1)
