"""The client for asyncio programs: what `mcpserve.client` has, inside asyncio Tasks.

async with AsyncClient("https://example.org/mcp") as client:
    async for event in client.stream_tool("count", {"to": 10}):
        print(event)

Nothing has to be installed or started. Each client brings a reactor of its own for the loop that runs when it is made,
whatever reactor this process has besides. `task.cancel()`, `asyncio.timeout(...)` and leaving a loop over a stream
cancel on the server. Errors are those of `mcpserve.errors`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import wraps
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from mcpserve.client.calls import ToolStream
from mcpserve.client.client import Client
from mcpserve.client.credentials import Challenge, Credentials, RequestFacts
from mcpserve.client.listening import Subscription
from mcpserve.client.looping import LoopReactor
from mcpserve.client.ways import OnNotice

__all__ = ["AsyncClient", "AsyncioCredentials"]

T = TypeVar("T")
H = TypeVar("H")
P = ParamSpec("P")
S = TypeVar("S")
C = TypeVar("C", bound=type)

ELSEWHERE = (
    "An AsyncClient is made and used while its asyncio loop runs: elsewhere use mcpserve.client.Client in coroutines of"
    " Twisted, and mcpserve.client.sync in plain scripts"
)


# --- from Twisted to asyncio


async def awaited(coroutine: Coroutine[Deferred[Any], Any, T]) -> T:
    """Wait in an asyncio Task for a coroutine of Twisted.

    Cancel: It is cancelled, and waited for, unless one cancels once more.
    """
    outcome: list[T | Failure] = []
    waiting: list[asyncio.Future[None]] = []

    def arrived(result: T | Failure) -> None:
        outcome.append(result)
        for future in waiting:
            if not future.done():
                future.set_result(None)

    deferred = Deferred.fromCoroutine(coroutine)
    deferred.addBoth(arrived)
    if not outcome:
        try:
            await _woken(waiting)
        except asyncio.CancelledError:
            deferred.cancel()
            if not outcome:
                await _woken(waiting)
            raise
    return _unwrapped(outcome[0])


async def _woken(waiting: list[asyncio.Future[None]]) -> None:
    future = asyncio.get_running_loop().create_future()
    waiting.append(future)
    await future


def _unwrapped(outcome: T | Failure) -> T:
    if not isinstance(outcome, Failure):
        return outcome
    if outcome.check(CancelledError):
        # Somebody else has cancelled it: a stream that another task closed.
        raise asyncio.CancelledError
    outcome.raiseException()


def _in_tasks(
    method: Callable[Concatenate[S, P], Coroutine[Deferred[Any], Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    @wraps(method)
    async def bridged(self: S, /, *args: P.args, **named: P.kwargs) -> T:
        if isinstance(self, AsyncClient):
            self._check_loop()
        return await awaited(method(self, *args, **named))

    return bridged


def _on_asyncio(*more: str) -> Callable[[C], C]:
    """Let a class do in asyncio Tasks what its parent does in coroutines of Twisted.

    Its public coroutines, and those that are named: those that call public ones work as they are.
    """

    def bridge(kind: C) -> C:
        (parent,) = kind.__bases__
        for name, method in inspect.getmembers(parent, inspect.iscoroutinefunction):
            if not name.startswith("_") or name in more:
                setattr(kind, name, _in_tasks(method))
        return kind

    return bridge


# --- from asyncio to Twisted


def _deferred(awaitable: Awaitable[T]) -> Deferred[T]:
    """What awaits things of asyncio, as something that Twisted can wait for, and cancel."""
    return Deferred.fromFuture(asyncio.ensure_future(awaitable))


def _adapted(handler: H) -> H:
    """A function that may give an awaitable of asyncio, as one that gives a Deferred then."""
    call = cast(Callable[..., Any], handler)

    @wraps(call)
    def adapted(*question: Any) -> Any:
        said = call(*question)
        return _deferred(said) if inspect.isawaitable(said) and not isinstance(said, Deferred) else said

    return cast(H, adapted)


class AsyncioCredentials:
    """Credentials whose methods await things of asyncio, such as another HTTP client, for an `AsyncClient`.

    Those that this package has are given to it as they are.

    Args:
        credentials: Yours.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def headers(self, request: RequestFacts) -> Mapping[str, str]:
        """See `Credentials`."""
        return await _deferred(self._credentials.headers(request))

    async def challenged(self, challenge: Challenge) -> bool:
        """See `Credentials`."""
        return await _deferred(self._credentials.challenged(challenge))


# --- the client


@_on_asyncio("__anext__")
class AsyncToolStream(ToolStream):
    """What a tool says, as it comes; see `ToolStream`."""

    __slots__ = ()


@_on_asyncio("__anext__", "__aenter__")
class AsyncSubscription(Subscription):
    """Changes, as the server tells of them; see `Subscription`."""

    __slots__ = ()


@_on_asyncio()
class AsyncClient(Client):
    """Talks to one MCP server, as `mcpserve.client.Client` does, inside asyncio Tasks.

    It is made while its loop runs, takes what `Client` takes, and has what `Client` has. Handlers may be plain
    functions or coroutines of asyncio. A `reactor`, if one is given, is on the same loop.

    Raises:
        RuntimeError: No asyncio loop runs here.
    """

    _stream_kind: ClassVar[type[ToolStream]] = AsyncToolStream
    _subscription_kind: ClassVar[type[Subscription]] = AsyncSubscription

    _loop: asyncio.AbstractEventLoop | None = None

    def _check_loop(self) -> None:
        """See whether the loop runs that this client is on.

        Raises:
            RuntimeError: Another one does; a call would wait for ever.
        """
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            raise RuntimeError("This client was made while another asyncio loop ran: make one in each loop")

    def _usual_reactor(self) -> Any:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(ELSEWHERE) from None
        return LoopReactor(self._loop)

    def _handler(self, handler: H) -> H:
        return handler if handler is None else _adapted(handler)

    def _ear(self, ear: OnNotice | None) -> OnNotice | None:
        return self._handler(ear)
