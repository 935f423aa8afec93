"""Named servers, in the JSON form that MCP clients share: `mcpServers`, each with a `url` or a `command`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import attrs
import orjson

from mcpserve.errors import ConfigurationError


@attrs.frozen(kw_only=True)
class HttpServer:
    """A server that is reached over HTTP.

    Args:
        name: What the configuration calls it.
        url: Its URL.
        headers: More headers of each request; they may hold secrets, so they are never shown.
        transport: "http" to find out by itself, "sse" for a server that knows only the transport of 2024-11-05.
    """

    name: str
    url: str
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    transport: Literal["http", "sse"] = "http"


@attrs.frozen(kw_only=True)
class StdioServer:
    """A server that is started as a child process.

    Args:
        name: What the configuration calls it.
        command: The command and its arguments.
        env: More environment variables; they may hold secrets, so they are never shown.
        cwd: The directory that it works in; None for ours.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    cwd: str | None = None


NamedServer = HttpServer | StdioServer


def read_servers(
    text: str | bytes, environment: Mapping[str, str], source: str = "the configuration"
) -> Mapping[str, NamedServer]:
    """Read the named servers of a configuration, in its order.

    A server is read when it is looked up, so that only then its variables must be set.

    Args:
        text: The JSON.
        environment: Where `${VARIABLE}`, `${env:VARIABLE}` and `${VARIABLE:-default}` are looked up.
        source: What errors call the configuration, such as its path.

    Raises:
        ConfigurationError: It is no JSON, or has another shape; says where. A look-up raises it for a server that is
            not well described, or names a variable that is not set.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"{source}: it is not JSON: {error}") from None
    servers = value.get("mcpServers") if isinstance(value, dict) else None
    if not isinstance(servers, dict):
        raise ConfigurationError(
            f'{source}: it has no object "mcpServers": {{"mcpServers": {{"name": {{"url": ...}}}}}}'
        )
    return _Servers(servers, environment, source)


class _Servers(Mapping[str, NamedServer]):
    """The servers of a configuration, each read when it is looked up."""

    def __init__(self, entries: Mapping[str, Any], environment: Mapping[str, str], source: str) -> None:
        self._entries = entries
        self._environment = environment
        self._source = source

    def __getitem__(self, name: str) -> NamedServer:
        return server_of(name, self._entries[name], self._environment, self._source)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def server_of(name: str, entry: Any, environment: Mapping[str, str], source: str = "the configuration") -> NamedServer:
    """Read one entry of `mcpServers`. Members that have no name here are left to other clients.

    Raises:
        ConfigurationError: As a look-up in `read_servers`. Values are not shown: they may be secret.
    """
    read = _Entry(f"{source}: mcpServers.{name}", entry, environment)
    kind = read.text("type") or read.text("transport")
    if kind not in _KINDS:
        raise read.wrong("type", f"one of {', '.join(sorted(filter(None, _KINDS)))}")
    url, command = read.text("url"), read.text("command")
    if (url is None) == (command is None):
        raise ConfigurationError(f'{read.place}: it needs a "url" or a "command", and not both')
    if (kind == "stdio") != (command is not None) and kind is not None:
        raise read.wrong("type", '"stdio" with a command, and "http" or "sse" with a url')
    if command is not None:
        words = (command, *read.texts("args"))
        return StdioServer(name=name, command=words, env=read.mapping("env"), cwd=read.text("cwd"))
    return HttpServer(
        name=name, url=url or "", headers=read.mapping("headers"), transport="sse" if kind == "sse" else "http"
    )


_KINDS = (None, "stdio", "http", "streamable-http", "streamableHttp", "sse")
_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


@attrs.frozen
class _Entry:
    """An entry of `mcpServers`, and where it stands."""

    place: str
    entry: Any
    environment: Mapping[str, str]

    def text(self, key: str) -> str | None:
        """A text, with its variables filled in; None if it is not there."""
        value = self._value(key)
        return None if value is None else self._expanded(key, value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self._value(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.wrong(key, "a list of texts")
        return tuple(self._expanded(f"{key}[{index}]", one) for index, one in enumerate(value))

    def mapping(self, key: str) -> dict[str, str]:
        """Texts by name."""
        value = self._value(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.wrong(key, "an object of texts")
        return {name: self._expanded(f"{key}.{name}", one) for name, one in value.items()}

    def wrong(self, key: str, right: str) -> ConfigurationError:
        """Say that a member is not what it should be."""
        return ConfigurationError(f'{self.place}: "{key}" must be {right}')

    def _value(self, key: str) -> Any:
        if not isinstance(self.entry, dict):
            raise ConfigurationError(f"{self.place}: it must be an object")
        return self.entry.get(key)

    def _expanded(self, key: str, value: Any) -> str:
        if not isinstance(value, str):
            raise self.wrong(key, "a text")

        def found(match: re.Match[str]) -> str:
            name, default = match.groups()
            # As in a shell, an empty variable is as good as none where there is a default.
            known = self.environment.get(name)
            if known is None and default is None:
                raise ConfigurationError(
                    f'{self.place}: "{key}" needs the environment variable {name}, which is not set'
                )
            return known if default is None and known is not None else known or default or ""

        return _VARIABLE.sub(found, value)
