"""From words of the command line to a server: what was said of it, and the way there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from mcpserve.cli.secrets import credentials_of
from mcpserve.cli.surroundings import Surroundings, Way
from mcpserve.client.limits import Timeouts
from mcpserve.client.servers import HttpServer, NamedServer, StdioServer, read_servers
from mcpserve.errors import ConfigurationError
from mcpserve.protocol.types import LogLevel

SERVERS = "MCPSERVE_SERVERS"
"""The environment variable that names the file of servers."""


@attrs.frozen(kw_only=True)
class Reaching:
    """What the command line says of a server, and of how to talk to it and show that.

    Args:
        server: A URL, or a name in the file of servers; None with a command.
        command: The command that serves over its standard streams.
        config: The file of servers.
        token: Where a bearer token is. api_key: Where an API key is.
        headers: More headers, `NAME: VALUE` each.
        revision: The one revision to speak.
        timeout: Seconds until the outcome.
        log_level: The least severe log messages that are wanted.
        json_lines: Show JSON.
        quiet: Show the outcome only.
        verbose: Say more of what is done.
    """

    server: str | None = None
    command: tuple[str, ...] = ()
    config: str | None = None
    token: str | None = attrs.field(default=None, repr=False)
    api_key: str | None = attrs.field(default=None, repr=False)
    headers: tuple[str, ...] = attrs.field(default=(), repr=False)
    revision: str | None = None
    timeout: float | None = None
    log_level: LogLevel | None = None
    json_lines: bool = False
    quiet: bool = False
    verbose: bool = False

    @property
    def timeouts(self) -> Timeouts:
        """No single wait is longer than the whole may take."""
        usual = Timeouts()
        if self.timeout is None:
            return usual
        waits = {name: min(getattr(usual, name), self.timeout) for name in ("connect", "head", "idle")}
        return Timeouts(**waits, total=self.timeout, close=usual.close)


def way_to(reaching: Reaching, around: Surroundings) -> Way:
    """Find the server.

    Raises:
        ConfigurationError: There is no such server, or what is said of it can't be.
    """
    server = _server(reaching, around.environment)
    if isinstance(server, StdioServer):
        if reaching.token or reaching.api_key or reaching.headers:
            raise ConfigurationError("--token, --api-key and --header are for servers over HTTP")
        return Way(target=" ".join(reaching.command) or server.name, server=server)
    server = attrs.evolve(server, headers={**server.headers, **dict(map(_header, reaching.headers))})
    # who says in a header who is calling does not want what is meant for other servers to be said instead
    said = any(name.lower() == "authorization" for name in server.headers)
    environment = {} if said else around.environment
    credentials = credentials_of(reaching.token, reaching.api_key, environment, around.input)
    return Way(target=reaching.server or server.url, server=server, credentials=credentials)


def names_in(config: str | None, environment: Mapping[str, str]) -> Mapping[str, NamedServer]:
    """The servers of the file, if there is one.

    Raises:
        ConfigurationError: It can't be read.
    """
    path = config or environment.get(SERVERS)
    if not path:
        return {}
    try:
        text = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise ConfigurationError(f"can't read the file of servers: {error}") from error
    return read_servers(text, environment, path)


def _server(reaching: Reaching, environment: Mapping[str, str]) -> NamedServer:
    if reaching.command:
        return StdioServer(name=reaching.command[0], command=reaching.command)
    name = reaching.server or ""
    if "://" in name:
        return HttpServer(name=name, url=_checked(name))
    servers = names_in(reaching.config, environment)
    if name in servers:
        return servers[name]
    if not servers:
        hint = f"a server is a URL such as http://{name}, or a name in a file that --config or {SERVERS} names"
    else:
        hint = f"the file of servers knows {', '.join(servers)}"
    raise ConfigurationError(f"there is no server {name!r}: {hint}")


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        fits = False
    if not fits:
        raise ConfigurationError(f"{url!r} is no URL that a server can have; it starts with http:// or https://")
    return url


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (name.strip() and colon):
        raise ConfigurationError(f"--header takes NAME:VALUE, and not {name!r}")
    return name.strip(), value.strip()
