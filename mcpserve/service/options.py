"""Settings as options of a command line; names and meanings come from `Settings`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn, TypeVar

from twisted.python.usage import Options as UsageOptions

from mcpserve.errors import ConfigurationError, StartError
from mcpserve.service.plugins import report
from mcpserve.service.settings import KNOWN, Settings, absolute, checked, read_file

COMMAND_LINE = "the command line"
FIELDS: Sequence[Any] = [field for field in KNOWN.values() if "what" in field.metadata]


class SettingOptions(UsageOptions):
    """The options that a command takes; a subclass says with `taking` which settings are among them.

    Attributes:
        settings: What file and command line say together.
        usual: Settings whose default is another with this command.
    """

    fields: ClassVar[Sequence[Any]] = ()
    usual: ClassVar[dict[str, Any]] = {}
    optParameters: ClassVar[list[list[str | None]]] = []
    optFlags: ClassVar[list[list[str | None]]] = []

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.settings = Settings()
        self._lists: dict[str, list[str]] = {}

    def postOptions(self) -> None:
        """Put file and command line together; say in one sentence what is wrong."""
        try:
            values = read_file(Path(self["config"])) if self["config"] is not None else {}
            given = {name: checked(name, value, COMMAND_LINE) for name, value in self._given()}
            self.settings = Settings(**self.usual | values | given | absolute(given, Path.cwd()))
            if self["check"]:
                raise SystemExit(self.report())
        except ConfigurationError as error:
            refuse(str(error))

    def report(self) -> int:
        """Say what would be served, and return the exit status."""
        return report(self.settings, sys.stdout)

    def _given(self) -> list[tuple[str, Any]]:
        given: list[tuple[str, Any]] = list(self._lists.items())
        for field in self.fields:
            if _is_flag(field) and self[_spelled(field)]:
                given.append((field.name, not field.default))
            elif not (_is_flag(field) or _is_list(field)) and self[_spelled(field)] is not None:
                text = self[_spelled(field)]
                given.append((field.name, _converted(_spelled(field), text, type(field.default))))
        return given


_Some = TypeVar("_Some", bound=type[SettingOptions])


def taking(fields: Sequence[Any], **usual: Any) -> Callable[[_Some], _Some]:
    """Make options of these fields of `Settings`.

    Args:
        fields: The fields.
        usual: Settings whose default is another with this command.
    """

    def take(options: _Some) -> _Some:
        options.fields = fields
        options.usual = usual
        described = [(field, _described(field, usual.get(field.name, field.default))) for field in fields]
        options.optParameters = [
            ["config", "c", None, "A configuration file in TOML; each option is a key in it, with _ for -."],
            *([_spelled(f), None, None, text] for f, text in described if not (_is_list(f) or _is_flag(f))),
        ]
        options.optFlags = [
            ["check", None, "Check the configuration and the plugins, say what would be served, and exit."],
            *([_spelled(f), None, text] for f, text in described if _is_flag(f)),
        ]
        for field, text in described:
            if _is_list(field):
                setattr(options, "opt_" + _spelled(field).replace("-", "_"), _repeatable(field, text))
        return options

    return take


def refuse(sentence: str) -> NoReturn:
    """End the process with a sentence."""
    raise StartError(sentence)


def _is_list(field: Any) -> bool:
    return isinstance(field.default, tuple)


def _is_flag(field: Any) -> bool:
    return isinstance(field.default, bool)


def _spelled(field: Any) -> str:
    name = str(field.metadata["option"] or field.name.replace("_", "-"))
    return f"no-{name}" if field.default is True else name


def _described(field: Any, default: Any) -> str:
    what = str(field.metadata["what"])
    if _is_flag(field):
        return f"Do not {what[0].lower()}{what[1:]}" if field.default else what
    shown = ", ".join(default) if _is_list(field) else str(default)
    return f"{what} [default: {shown}]" if shown else what


def _repeatable(field: Any, text: str) -> Callable[[SettingOptions, str], None]:
    def opt(self: SettingOptions, value: str) -> None:
        self._lists.setdefault(field.name, []).append(value)

    opt.__doc__ = text
    return opt


def _converted(option: str, text: str, kind: type) -> Any:
    if kind is str:
        return text
    try:
        return kind(text)
    except ValueError:
        refuse(f"--{option} takes a {'whole number' if kind is int else 'number'}, not {text!r}")
