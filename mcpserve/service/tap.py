"""What `twist mcpserve` and `twistd mcpserve` call: the options, and the service made of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from twisted.application.service import Service
from twisted.internet import reactor
from twisted.python.usage import Options as UsageOptions

from mcpserve.errors import ConfigurationError, PluginError, StartError
from mcpserve.service.daemon import Daemon
from mcpserve.service.plugins import load, report
from mcpserve.service.settings import KNOWN, Settings, absolute, checked, read_file

COMMAND_LINE = "the command line"


def _is_list(field: Any) -> bool:
    return isinstance(field.default, tuple)


def _spelled(field: Any) -> str:
    return str(field.metadata["option"] or field.name.replace("_", "-"))


def _described(field: Any) -> str:
    default = ", ".join(field.default) if _is_list(field) else str(field.default)
    return f"{field.metadata['what']} [default: {default}]" if default else str(field.metadata["what"])


_FIELDS = [field for field in KNOWN.values() if "what" in field.metadata]


class Options(UsageOptions):
    """The options of the command line; the names and meanings come from `Settings`."""

    synopsis = "[options]"
    longdesc = (
        "Serves streaming MCP tools, in all protocol revisions, at /mcp. Tools come from plugins: Python files with "
        "functions decorated by @mcpserve.tool. SIGHUP reloads the plugins, SIGTERM and Ctrl-C stop the server in an "
        "orderly way."
    )
    optParameters: ClassVar[list[list[str | None]]] = [
        ["config", "c", None, "A configuration file in TOML; each option is a key in it, with _ for -."],
        *([_spelled(f), None, None, _described(f)] for f in _FIELDS if not isinstance(f.default, tuple | bool)),
    ]
    optFlags: ClassVar[list[list[str | None]]] = [
        ["check", None, "Check the configuration and the plugins, say what would be served, and exit."],
        ["no-shipped", None, "Do not serve the plugins that come with mcpserve."],
    ]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.settings = Settings()
        self._lists: dict[str, list[str]] = {}

    def postOptions(self) -> None:
        """Put file and command line together; say in one sentence what is wrong."""
        try:
            values = read_file(Path(self["config"])) if self["config"] is not None else {}
            given = {name: checked(name, value, COMMAND_LINE) for name, value in self._given()}
            self.settings = Settings(**values | given | absolute(given, Path.cwd()))
            if self["check"]:
                raise SystemExit(report(self.settings, sys.stdout))
        except ConfigurationError as error:
            _exit(str(error))

    def _given(self) -> list[tuple[str, Any]]:
        given: list[tuple[str, Any]] = [(name, values) for name, values in self._lists.items()]
        if self["no-shipped"]:
            given.append(("shipped", False))
        for field in _FIELDS:
            text = None if isinstance(field.default, tuple | bool) else self[_spelled(field)]
            if text is not None:
                given.append((field.name, _converted(_spelled(field), text, type(field.default))))
        return given


def _repeatable(field: Any) -> Callable[[Options, str], None]:
    def opt(self: Options, value: str) -> None:
        self._lists.setdefault(field.name, []).append(value)

    opt.__doc__ = _described(field)
    return opt


for _field in _FIELDS:
    if _is_list(_field):
        setattr(Options, "opt_" + _spelled(_field).replace("-", "_"), _repeatable(_field))


def makeService(options: Options) -> Service:
    """Make the service; plugins are loaded here, so that a broken one is refused before anything listens."""
    try:
        return Daemon(reactor, options.settings, load(options.settings))
    except (ConfigurationError, PluginError) as error:
        _exit(str(error))


def _converted(option: str, text: str, kind: type) -> Any:
    if kind is str:
        return text
    try:
        return kind(text)
    except ValueError:
        _exit(f"--{option} takes a {'whole number' if kind is int else 'number'}, not {text!r}")


def _exit(sentence: str) -> NoReturn:
    raise StartError(sentence)
