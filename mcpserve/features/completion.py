"""Suggestions for the arguments of prompts and resource templates, while somebody types them.

    city: Annotated[str, Arg("Where.", completer=["Rome", "Riga"])]    those that begin with what was typed
    city: Annotated[str, Arg("Where.", completer=cities)]              what cities(value) returns or waits for
    unit: Literal["C", "F"]                                            the values themselves; so of an Enum and bool

The first parameter of a completer gets what was typed. Others have the names of other arguments and a default: they get
what was chosen for these already. One with the hint `Call` gets the call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import attrs

from mcpserve.errors import PluginError
from mcpserve.features.call import Call
from mcpserve.features.schema import Arg, without_alias
from mcpserve.protocol.types import Completion


@attrs.frozen(kw_only=True)
class CompleterOptions:
    """How a completer is run: like a plain function."""

    thread: ClassVar[bool] = False
    timeout: ClassVar[float | None] = None
    on_disconnect: ClassVar[Literal["cancel", "finish"]] = "cancel"
    max_concurrent: ClassVar[int | None] = None


@attrs.frozen(kw_only=True, eq=False)
class Completer:
    """Suggests values for one argument.

    Args:
        name: What it completes, for the log.
        function: Gets what was typed, and returns or waits for the suggestions.
        value_parameter: The parameter that gets what was typed.
        others: The parameters that get what was chosen for other arguments.
        call_parameter: The parameter that gets the call, if there is one.
    """

    name: str
    function: Callable[..., Any]
    value_parameter: str
    others: frozenset[str] = frozenset()
    call_parameter: str | None = None

    options: ClassVar[CompleterOptions] = CompleterOptions()
    takes_over: ClassVar[bool] = False

    @property
    def plain(self) -> bool:
        """True when no call object is needed."""
        return self.call_parameter is None and not inspect.iscoroutinefunction(self.function)

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The keyword values; in `arguments`, "value" is what was typed, "chosen" what is known of the others."""
        chosen = {name: text for name, text in arguments["chosen"].items() if name in self.others}
        return {self.value_parameter: arguments["value"], **chosen}


def completers_of(function: Callable[..., Any], names: Sequence[str], what: str) -> dict[str, Completer]:
    """Find the completers of a function's arguments.

    Args:
        function: The function of a prompt or a template.
        names: Its arguments.
        what: What the function is, for the log.

    Raises:
        PluginError: A completer can't be called as it should be.
    """
    hints = get_type_hints(inspect.unwrap(function), include_extras=True)
    found = {}
    for name in names:
        source = _source(hints.get(name, Any))
        if source is not None:
            found[name] = _completer(source, name, frozenset(names) - {name}, f"{name} of {what}")
    return found


def to_completion(value: object) -> Completion:
    """The suggestions that a completer returned.

    Raises:
        TypeError: They are no texts.
    """
    if isinstance(value, Completion):
        found = value
    elif value is None:
        found = Completion([])
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        found = Completion(list(value))
    else:
        raise TypeError(f"a completer returns a list of texts, not {type(value).__name__}")
    if not all(isinstance(text, str) for text in found.values):
        raise TypeError("a completer returns texts, and nothing else in the list")
    return found


def _source(hint: Any) -> Callable[..., Any] | Sequence[str] | None:
    """What an annotation says of suggestions: a completer, or else the values that the type has."""
    while get_origin(hint) is Annotated or without_alias(hint) is not hint:
        if get_origin(hint) is Annotated:
            for extra in hint.__metadata__:
                if isinstance(extra, Arg) and extra.completer is not None:
                    return extra.completer
            hint = hint.__origin__
        else:
            hint = without_alias(hint)
    return _values(hint) or None


def _values(hint: Any) -> list[str]:
    if get_origin(hint) in (Union, UnionType):
        parts = [_values(part) for part in get_args(hint) if part is not NoneType]
        return [value for part in parts for value in part] if all(parts) else []
    if get_origin(hint) is Literal:
        return [_spelled(value) for value in get_args(hint)]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return [_spelled(member) for member in hint]
    return ["true", "false"] if hint is bool else []


def _spelled(value: Any) -> str:
    value = value.value if isinstance(value, Enum) else value
    return str(value).lower() if isinstance(value, bool) else str(value)


def _completer(source: Any, name: str, others: frozenset[str], what: str) -> Completer:
    if not callable(source):
        return Completer(name=what, function=_among(source, name), value_parameter="value")
    parameters = list(inspect.signature(source).parameters.values())
    hints = get_type_hints(inspect.unwrap(source)) if inspect.isroutine(source) else {}
    calls = [item.name for item in parameters if hints.get(item.name) is Call]
    texts = [item for item in parameters if item.name not in calls]
    if not texts or len(calls) > 1:
        raise PluginError(
            f"the completer of '{name}' takes what was typed as its first parameter, and one Call at most"
        )
    for item in texts[1:]:
        if item.name not in others or item.default is item.empty:
            raise PluginError(
                f"the completer of '{name}': the parameter '{item.name}' must have the name of another argument, and a "
                "default, as it may not be chosen yet"
            )
    return Completer(
        name=what,
        function=source,
        value_parameter=texts[0].name,
        others=frozenset(item.name for item in texts[1:]),
        call_parameter=calls[0] if calls else None,
    )


def _among(source: Any, name: str) -> Callable[[str], list[str]]:
    """A completer over fixed values: first those that begin with what was typed, then those that have it inside."""
    values = None if isinstance(source, str) else list(source)
    if values is None or not all(isinstance(value, str) for value in values):
        raise PluginError(f"the completer of '{name}' is a function, or a list of texts")

    def among(value: str) -> list[str]:
        typed = value.casefold()
        begin = [text for text in values if text.casefold().startswith(typed)]
        return begin + [text for text in values if typed in text.casefold() and text not in begin]

    return among
