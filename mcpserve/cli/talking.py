"""What all commands that talk to a server do alike: find it, open a client, show how it went, close the client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, eventAsText, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import provider

from mcpserve.cli.answering import FixedAnswers, Interview, read_answers
from mcpserve.cli.arguments import ArgumentError
from mcpserve.cli.live import LiveScreen
from mcpserve.cli.reaching import Reaching, way_to
from mcpserve.cli.screens import LineScreen, PlainScreen, Screen
from mcpserve.cli.surroundings import Job, Surroundings, Way
from mcpserve.cli.terminal import TerminalLines
from mcpserve.cli.things import Failed
from mcpserve.cli.verdicts import CLOSED_PIPE, INTERRUPTED, verdict
from mcpserve.client.client import Client
from mcpserve.client.values import LogMessage, Notice
from mcpserve.client.ways import Options
from mcpserve.errors import ClientError, ConfigurationError, DeadlinePassed

_OURS = "mcpserve."


@attrs.frozen
class Talk:
    """A talk with a server.

    Args:
        client: Open.
        screen: Where things are shown.
        way: How the server is reached.
        around: Streams and time.
        opening: How many seconds it took to open the client.
    """

    client: Client
    screen: Screen
    way: Way
    around: Surroundings
    opening: float


Use = Callable[[Talk], Awaitable[int]]
"""What a command does with an open client; gives the exit status."""


def talking(reaching: Reaching, use: Use, answers: Sequence[str] = ()) -> Job:
    """The job of a command that talks to a server.

    Args:
        reaching: What the command line says of the server.
        use: What is done there.
        answers: `KEY=VALUE` for forms of the server.
    """

    async def job(around: Surroundings) -> int:
        screen = screen_for(reaching, around)
        around.ending.tell = screen.note
        with _log_on(screen, reaching.verbose):
            try:
                return await _in_time(reaching, around, _talk(reaching, around, screen, use, answers))
            except (ClientError, ConfigurationError, ArgumentError) as error:
                return _failed(screen, verdict(error))
            except CancelledError:
                status = around.ending.status
                if status != CLOSED_PIPE:
                    _failed(screen, Failed(kind="Cancelled", sentence="cancelled", status=status or INTERRUPTED))
                raise
            finally:
                screen.ended()

    return job


def screen_for(reaching: Reaching, around: Surroundings) -> Screen:
    """The screen that fits what is on the other side of standard output."""
    if reaching.json_lines:
        return LineScreen(around.out, around.err, quiet=reaching.quiet)
    if around.out.isatty() and around.environment.get("TERM") != "dumb":
        return LiveScreen(around.out, around.err, around.reactor, quiet=reaching.quiet)
    return PlainScreen(around.out, around.err, quiet=reaching.quiet)


async def _talk(reaching: Reaching, around: Surroundings, screen: Screen, use: Use, answers: Sequence[str]) -> int:
    way = way_to(reaching, around)
    begun = around.reactor.seconds()
    async with around.connect(way, _options(reaching, around, screen, answers)) as client:
        if reaching.verbose:
            screen.note(f"{way.target}: {client.server.revision.name} over {client.server.transport}")
        return await use(Talk(client, screen, way, around, around.reactor.seconds() - begun))


async def _in_time(reaching: Reaching, around: Surroundings, talk: Coroutine[Deferred[Any], Any, int]) -> int:
    """The talk, which is cancelled when its time is over: to open a client may take several tries."""
    done = Deferred.fromCoroutine(talk)

    def late(result: Any, seconds: float) -> Failure:
        return Failure(DeadlinePassed(f"it was not done within {seconds:g} s", "total"))

    if reaching.timeout is not None:
        done.addTimeout(reaching.timeout, around.reactor, late)
    return await done


def _failed(screen: Screen, failed: Failed) -> int:
    screen.show(failed)
    return failed.status


def _options(reaching: Reaching, around: Surroundings, screen: Screen, words: Sequence[str]) -> Options:
    asking = _asking(reaching, around, screen, words)

    def heard(notice: Notice) -> None:
        if isinstance(notice, LogMessage):
            try:
                screen.show(notice)
            except BrokenPipeError:
                around.ending.cancel(CLOSED_PIPE)

    return Options(
        reactor=around.reactor,
        elicit=asking.elicit,
        visit=asking.visit,
        on_notice=heard,
        timeouts=reaching.timeouts,
        revision=reaching.revision,
        log_level=reaching.log_level,
    )


def _asking(reaching: Reaching, around: Surroundings, screen: Screen, words: Sequence[str]) -> FixedAnswers | Interview:
    """A person is asked where there is one, and where a script does not speak for them."""
    answers = read_answers(words)
    somebody = around.input.isatty() and around.err.isatty()
    if answers is not None or reaching.json_lines or not somebody:
        return FixedAnswers(answers, screen)

    def write(text: str) -> None:
        around.err.write(text)
        around.err.flush()

    return Interview(TerminalLines(around.reactor, around.input, around.err), screen, write)


@contextmanager
def _log_on(screen: Screen, verbose: bool) -> Iterator[None]:
    """Show warnings of ours while it lasts; everything of ours, with tracebacks, if that is wanted."""

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        level, ours = event.get("log_level", LogLevel.info), event.get("log_namespace", "").startswith(_OURS)
        if level >= LogLevel.warn or (verbose and ours):
            screen.note(eventAsText(event, includeTraceback=verbose, includeTimestamp=False, includeSystem=False))

    globalLogPublisher.addObserver(observe)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observe)
