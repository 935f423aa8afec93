"""What the declarations of tools, prompts and resources have in common: how they run, and what is shown of them."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import UnionType
from typing import Any, Protocol, TypeVar, cast

import attrs
import orjson

from mcpserve.errors import PluginError
from mcpserve.features.arguments import Signature
from mcpserve.features.call import Call
from mcpserve.features.stream import Stream
from mcpserve.protocol.types import Icon

Chosen = TypeVar("Chosen")
INJECTED: frozenset[type] = frozenset({Call, Stream})

# Spec: Tools, Tool Names: 1 to 128 characters of A-Z, a-z, 0-9, underscore, hyphen and dot. Prompts have no such rule;
# one for all is easier to keep.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class RunsAs(Protocol):
    """How the author of a function wants it run."""

    @property
    def thread(self) -> bool: ...
    @property
    def timeout(self) -> float | None: ...
    @property
    def max_concurrent(self) -> int | None: ...


@contextmanager
def building(noun: str, name: object, origin: str) -> Iterator[None]:
    """Say of whatever goes wrong inside to what and where it belongs.

    Raises:
        PluginError: Something went wrong.
    """
    try:
        yield
    except (PluginError, ValueError) as error:
        raise PluginError(f"{origin}: {noun} {name!r}: {error}") from error
    except Exception as error:
        raise PluginError(f"{origin}: {noun} {name!r}: {type(error).__name__}: {error}") from error


def chosen_options(kind: type[Chosen], decorator: str, options: Mapping[str, Any]) -> Chosen:
    """What an author chose in a decorator.

    Raises:
        TypeError: An option is none; the message lists those that there are.
    """
    known = [field.name for field in attrs.fields(cast(Any, kind))]
    for name in options:
        if name not in known:
            raise TypeError(f"@{decorator} has no option {name!r}; it has: {', '.join(known)}")
    return kind(**options)


def function_name(function: Callable[..., Any]) -> str:
    """The name of a function, or of the class of a callable object."""
    return str(getattr(function, "__name__", type(function).__name__))


def title_of(name: str) -> str:
    """A name for people, made from one for machines."""
    words = re.sub(r"[_.-]+", " ", name).strip()
    return words[:1].upper() + words[1:]


def check_name(name: object) -> None:
    """Refuse a name that clients may not take."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PluginError("a name has 1 to 128 characters of A-Z, a-z, 0-9, '_', '-' and '.'")


def check_running(noun: str, function: Callable[..., Any], options: RunsAs) -> None:
    """Refuse what can't be run as its author wants."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise PluginError(f"a generator is no {noun}; take a Call and report with progress, and return the result")
    if options.thread and inspect.iscoroutinefunction(function):
        raise PluginError("thread=True is for sync functions; an async function does not block")
    if options.timeout is not None and not (_is(options.timeout, int | float) and 0 < options.timeout < math.inf):
        raise PluginError("timeout is a number of seconds above 0")
    if options.max_concurrent is not None and not (_is(options.max_concurrent, int) and options.max_concurrent > 0):
        raise PluginError("max_concurrent is a whole number of at least 1")


def check_shown(icons: Sequence[Icon], meta: Mapping[str, Any] | None, shape: Callable[[], Any]) -> None:
    """Find out now what can't be written as JSON: later it would spoil the list of all.

    Args:
        icons: As the author gave them.
        meta: As the author gave it.
        shape: Makes the definition as it looks on the wire.
    """
    if not all(isinstance(icon, Icon) for icon in icons):
        raise PluginError("icons is a list of mcpserve.Icon")
    if not isinstance(meta, Mapping | None):
        raise PluginError("meta is a dict")
    try:
        orjson.dumps(shape())
    except TypeError as error:
        raise PluginError(f"its definition can't be written as JSON: {error}") from error


def injection(signature: Signature) -> tuple[str | None, type | None]:
    """The parameter that gets the call or the stream, and which of the two; None when there is none."""
    if len(signature.injected) > 1:
        raise PluginError("a function takes one Call or one Stream, not several")
    for parameter, marker in signature.injected.items():
        return parameter, marker
    return None, None


def call_parameter(noun: str, signature: Signature) -> str | None:
    """The parameter that gets the call, of what can't take over its response."""
    parameter, marker = injection(signature)
    if marker is Stream:
        raise PluginError(f"a {noun} takes a Call; only a tool can take over the response with a Stream")
    return parameter


def needs_call(function: Callable[..., Any], options: RunsAs) -> bool:
    """Tell whether a function needs a call object, even if it does not ask for it."""
    limited = options.timeout is not None or options.max_concurrent is not None
    return options.thread or limited or inspect.iscoroutinefunction(function)


def _is(value: object, kind: type | UnionType) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
