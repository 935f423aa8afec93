"""The three faces of the client offer the same: methods, parameters, words."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from mcpserve import client
from mcpserve.client import aio, sync

RENAMED = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "aclose": "close",
}
"""What has another name where nothing is awaited."""

INNER = {"fail"}
"""What the client itself asks of its subscriptions."""

FACES = [
    (client.Client, aio.AsyncClient, sync.Client),
    (client.ToolStream, aio.AsyncToolStream, sync.ToolStream),
    (client.Subscription, aio.AsyncSubscription, sync.Subscription),
]


def offered(kind: type) -> dict[str, Any]:
    """What a class offers to its users, by name."""
    names = [name for name in dir(kind) if (not name.startswith("_") or name in RENAMED) and name not in INNER]
    return {name: inspect.getattr_static(kind, name) for name in names}


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Names, kinds, defaults and types of the parameters."""
    return list(inspect.signature(function).parameters.values())


def plain(function: Any) -> Any:
    """The function in what a class has by a name."""
    return function.__func__ if isinstance(function, classmethod) else function


@pytest.mark.parametrize(("of_twisted", "of_asyncio", "of_threads"), FACES)
def test_the_same_names(of_twisted: type, of_asyncio: type, of_threads: type) -> None:
    """No face has more or less than the others."""
    assert set(offered(of_asyncio)) == set(offered(of_twisted))
    shown = {name for name in dir(of_threads) if not name.startswith("_") or name in RENAMED.values()}
    assert shown == {RENAMED.get(name, name) for name in offered(of_twisted)}


@pytest.mark.parametrize(("of_twisted", "of_asyncio", "of_threads"), FACES)
def test_the_same_parameters(of_twisted: type, of_asyncio: type, of_threads: type) -> None:
    """With the same defaults and types; and what makes a client, too."""
    for name, function in offered(of_twisted).items():
        if not isinstance(function, property):
            assert parameters(plain(inspect.getattr_static(of_asyncio, name))) == parameters(plain(function)), name
            theirs = plain(inspect.getattr_static(of_threads, RENAMED.get(name, name)))
            assert parameters(theirs) == parameters(plain(function)), name
    assert parameters(aio.AsyncClient.__init__) == parameters(client.Client.__init__)
    assert parameters(sync.Client.__init__) == parameters(client.Client.__init__)


def test_the_same_words() -> None:
    """Documentation is that of the client, in full; what waits is no coroutine, and the rest is."""
    for name, function in offered(client.Client).items():
        if name.startswith("_") or isinstance(function, property | classmethod):
            continue
        asynchronous, waiting = getattr(aio.AsyncClient, name), getattr(sync.Client, name)
        assert asynchronous.__doc__ == function.__doc__, name
        assert waiting.__doc__ == function.__doc__ or name in ("open", "close"), name
        assert inspect.iscoroutinefunction(asynchronous) == inspect.iscoroutinefunction(function), name
        assert not inspect.iscoroutinefunction(waiting), name


def test_nothing_is_left_to_twisted() -> None:
    """Each coroutine waits in asyncio Tasks, but for those that only call such ones; and no other one calls any."""
    for of_twisted, of_asyncio, _ in FACES:
        public = {f"await self.{name}(" for name in offered(of_twisted) if not name.startswith("_")}
        for name, function in offered(of_twisted).items():
            if inspect.iscoroutinefunction(function):
                body = inspect.getsource(function)
                calls, waits = any(call in body for call in public), "await " in body
                bridged = inspect.getattr_static(of_asyncio, name) is not function
                assert bridged != calls if waits else not calls, name
