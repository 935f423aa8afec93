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

def log_a_failure():
    try:
        raise Spilt
    except Spilt:
        Logger().failure("milk")

"""

FAULTS = """
def test_logged_failure():
    log_a_failure()

def test_dropped_deferred():
    fail(Spilt())

def test_delayed_call():
    reactor.callLater(60, print)

def test_open_port():
    reactor.listenTCP(0, Factory(), interface="127.0.0.1")

@pytest.mark.deadline(0.1)
async def test_hanging_coroutine():
    await Deferred()

@pytest.mark.deadline(0.1)
def test_silent_deferred():
    return Deferred()

def test_flush_of_another_type(flush_logged_errors):
    log_a_failure()
    assert flush_logged_errors(KeyError) == []
"""

COMPLAINTS = {
    "ERROR*test_logged_failure*unexpected failures*",
    "ERROR*test_dropped_deferred*unexpected failures*",
    "ERROR*test_delayed_call*left these in the reactor*",
    "ERROR*test_open_port*left these in the reactor*",
    "FAILED*test_hanging_coroutine*TimeoutError*",
    "FAILED*test_silent_deferred*TimeoutError*",
    "ERROR*test_flush_of_another_type*unexpected failures*",
}

VIRTUES = """
def test_expected_failures(flush_logged_errors):
    fail(Spilt())
    assert len(flush_logged_errors(Spilt)) == 1

def test_call_that_comes_due():
    reactor.callLater(0.05, lambda: None)

async def test_coroutine():
    done = Deferred()
    reactor.callLater(0, done.callback, None)
    await done
"""


def _run(pytester: pytest.Pytester, tests: str) -> pytest.RunResult:
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makeini("[pytest]\nmarkers = deadline(seconds): patience\n")
    pytester.makepyfile(HEADER + tests)
    # In a process of its own: there is one reactor in each, and this test stands in ours.
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=60)


def test_silent_faults_fail(monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> None:
    """What Twisted lets pass in silence fails the test that did it, and no other one."""
    monkeypatch.setenv("COLUMNS", "300")
    result = _run(pytester, FAULTS)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    for complaint in COMPLAINTS:
        result.stdout.fnmatch_lines([complaint])
    result.assert_outcomes(passed=5, failed=2, errors=5)


def test_clean_tests_pass(pytester: pytest.Pytester) -> None:
    """Failures that the test expected, and what ends by itself right after it, are forgiven."""
    _run(pytester, VIRTUES).assert_outcomes(passed=3)
