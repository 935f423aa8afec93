"""The client for plain scripts and threads: what `mcpserve.client` has, in functions that wait.

with Client("https://example.org/mcp") as client:
    print(client.call_tool("add", {"a": 1, "b": 2}))
    for event in client.stream_tool("count", {"to": 10}):
        print(event)

A reactor of its own runs in a daemon thread, started once, whatever reactor this process has besides. A client may be
used from several threads. Ctrl-C and leaving a loop over a stream cancel on the server; a stream is read no faster than
its loop goes. Errors are those of `mcpserve.errors`; concurrent.futures.CancelledError, if another thread cancels.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast

from mcpserve.client import calls, client
from mcpserve.client.calls import ToolEvent
from mcpserve.client.conversation import ServerDescription
from mcpserve.client.threaded import Threaded
from mcpserve.client.values import Change, LogMessage, Progress
from mcpserve.client.ways import Ways
from mcpserve.protocol.types import Result

__all__ = ["Client", "Subscription", "ToolStream"]

T = TypeVar("T")
P = ParamSpec("P")
E = TypeVar("E")
_OF_METHODS = ("__name__", "__qualname__", "__doc__")


# --- signatures and words are those of the client of Twisted


def _like(method: Callable[Concatenate[Any, P], Any]) -> Callable[[Callable[..., T]], Callable[Concatenate[Any, P], T]]:
    """The parameters of another method."""

    def worded(function: Callable[..., T]) -> Callable[Concatenate[Any, P], T]:
        return wraps(method, assigned=_OF_METHODS)(function)

    return worded


def _waits(
    method: Callable[Concatenate[client.Client, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Client, P], T]:
    """The same, but it waits."""

    @wraps(method, assigned=_OF_METHODS)
    def waiting(self: Client, /, *args: P.args, **named: P.kwargs) -> T:
        threaded = self._threaded
        return cast(T, threaded.wait(lambda: method(threaded, *args, **named)))

    return waiting


# --- the faces


class _Pulled(Generic[E]):
    """An iterator that pulls from one of the client of Twisted, and cancels it when it is left."""

    __slots__ = ("_source", "_threaded")

    def __init__(self, threaded: Threaded, source: AsyncIterator[E]) -> None:
        self._threaded = threaded
        self._source: Any = source

    def __iter__(self) -> Iterator[E]:
        return self

    def __next__(self) -> E:
        try:
            return cast(E, self._threaded.wait(self._source.__anext__))
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Cancel it if it has not ended; nothing more comes."""
        self._threaded.let(self._source.cancel)


class ToolStream(_Pulled[ToolEvent]):
    """What a tool says, as it comes; the last event is the `Result`. See `Client.stream_tool`.

    An iterator, and a context manager that cancels a call which has not ended. So does the end of its life: in CPython
    that is the moment in which a loop is left.

    Raises:
        ClientError: From the iteration: there will be no result.
    """

    __slots__ = ()

    def cancel(self, reason: str | None = None) -> None:
        """The same as `close`, with words for the server's log."""
        stream = self._source
        self._threaded.let(lambda: stream.cancel(reason))


class Subscription(_Pulled[Change]):
    """Changes, as the server tells of them; see `Client.listen`.

    An iterator that ends when the server ends the subscription; and a context manager: inside it the subscription
    stands, so that what changes from then on is heard.

    Raises:
        ClientError: From the iteration: the subscription broke off, and could not be renewed.
    """

    __slots__ = ()

    @property
    def honoured(self) -> Mapping[str, Any]:
        """What the server agreed to tell of, as a filter of `subscriptions/listen`; empty until it has said so."""
        return cast(Mapping[str, Any], self._source.honoured)

    def __enter__(self) -> Self:
        self._threaded.wait(self._source.__aenter__)
        return self

    def cancel(self) -> None:
        """The same as `close`."""
        self.close()


class Client(Ways):
    """Talks to one MCP server, as `mcpserve.client.Client` does, in functions that wait; from any thread.

    It takes what that takes, and has what that has. Handlers and `on_notice` are plain functions that may take their
    time and use the client: they are called in threads of their own, `on_notice` one by one. A `reactor`, if one is
    given, runs in another thread.
    """

    @_like(client.Client.__init__)
    def __init__(self, *args: Any, **named: Any) -> None:
        self._threaded = Threaded(*args, **named)

    # --- life

    def open(self) -> Self:
        """Connect, find out what the server speaks, shake hands if it wants that."""
        self._threaded.wait(self._threaded.open)
        return self

    def close(self) -> None:
        """Cancel all that runs, end the session; within `timeouts.close`. A closed client stays closed."""
        self._threaded.wait(self._threaded.close)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *reason: object) -> None:
        self.close()

    @property
    def server(self) -> ServerDescription:
        """What the server says of itself."""
        return self._threaded.server

    # --- what the server has

    discover = _waits(client.Client.discover)
    """Ask the server again what it is and can; where that is said once in a session, what it said."""

    list_tools = _waits(client.Client.list_tools)
    """All tools, of all pages."""

    list_prompts = _waits(client.Client.list_prompts)
    """All prompts; as `list_tools`."""

    list_resources = _waits(client.Client.list_resources)
    """All resources; as `list_tools`."""

    list_resource_templates = _waits(client.Client.list_resource_templates)
    """All templates of resources, the template in `uri`; as `list_tools`."""

    # --- its use

    @_like(client.Client.call_tool)
    def call_tool(
        self,
        *args: Any,
        on_progress: Callable[[Progress], None] | None = None,
        on_log: Callable[[LogMessage], None] | None = None,
        **named: Any,
    ) -> Result:
        """Call a tool and wait for its result; what it says on the way is told in this thread."""
        if on_progress is None and on_log is None:
            return cast(Result, self._threaded.wait(lambda: self._threaded.call_tool(*args, **named)))
        with ToolStream(
            self._threaded, self._threaded.call(*args, progress=on_progress is not None, **named)
        ) as stream:
            for event in stream:
                if isinstance(event, Result):
                    return event
                if isinstance(event, Progress):
                    if on_progress is not None:
                        on_progress(event)
                elif on_log is not None:
                    on_log(event)
        raise CancelledError("It was cancelled in another thread")

    @_like(client.Client.stream_tool)
    def stream_tool(self, *args: Any, **named: Any) -> ToolStream:
        """Call a tool and get what it says as it comes: progress, log messages, and its result as the last."""
        return self._stream(lambda: self._threaded.stream_tool(*args, **named))

    def _stream(self, beginning: Callable[[], calls.ToolStream]) -> ToolStream:
        return ToolStream(self._threaded, self._threaded.wait(beginning))

    read_resource = _waits(client.Client.read_resource)
    """What a resource holds."""

    get_prompt = _waits(client.Client.get_prompt)
    """A prompt, filled in with arguments."""

    complete = _waits(client.Client.complete)
    """Suggestions for an argument."""

    @_like(client.Client.listen)
    def listen(self, **named: Any) -> Subscription:
        """Hear of changes: of the lists of tools, prompts and resources, and of single resources."""
        return Subscription(self._threaded, self._threaded.wait(lambda: self._threaded.listen(**named)))

    ping = _waits(client.Client.ping)
    """Ask for a sign of life; the seconds that it took."""

    set_log_level = _waits(client.Client.set_log_level)
    """Choose the least severe log messages that are wanted."""

    request = _waits(client.Client.request)
    """Send any request; the result as it came."""

    notify = _waits(client.Client.notify)
    """Send any notification."""
