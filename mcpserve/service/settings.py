"""What an operator can set, in one table: it makes the command line, reads the configuration file, and documents both.

The command line wins over the file, the file over the defaults. An error names the key, the file, and what would be
right.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from mcpserve.errors import ConfigurationError
from mcpserve.policy.access import Access
from mcpserve.policy.proxies import Proxies
from mcpserve.policy.rates import read_rate, read_tool_rates
from mcpserve.policy.rules import read_access


def setting(
    default: Any, what: str, *, option: str | None = None, least: float | None = None, secret: bool = False
) -> Any:
    """A field of `Settings`.

    Args:
        default: Its default, which also says its type.
        what: What it is for.
        option: Its option on the command line, if that is not its name.
        least: Its minimum.
        secret: Whether its value is for no log and no message.
    """
    metadata = {"what": what, "option": option, "least": least, "secret": secret}
    return attrs.field(default=default, repr=not secret, metadata=metadata)


@attrs.frozen(kw_only=True)
class Settings:
    """All settings. Lists are repeatable options; times are seconds, sizes bytes."""

    listen: tuple[str, ...] = setting(
        ("tcp:8000:interface=127.0.0.1",), "Where to listen: a Twisted endpoint, such as tcp:8000:interface=127.0.0.1, "
        "ssl:443:privateKey=key.pem:certKey=cert.pem or unix:/run/mcp.sock. Repeatable."
    )  # fmt: skip
    plugins: tuple[str, ...] = setting((), "A directory of plugin files (*.py). Repeatable.")
    only: tuple[str, ...] = setting((), "Serve only what has this name, even if it is off by default. Repeatable.")
    without: tuple[str, ...] = setting((), "Do not serve what has this name. Repeatable.")
    shipped: bool = setting(True, "Serve the plugins that come with mcpserve.")
    allow_hosts: tuple[str, ...] = setting(
        (), "A Host by which clients reach this server, beside loopback names. Repeatable.", option="allow-host"
    )
    allow_origins: tuple[str, ...] = setting(
        (),
        "The Origin of web pages that may call this server, beside loopback ones. Repeatable.",
        option="allow-origin",
    )
    public_url: str = setting("", "The URL that clients know this server by, without /mcp: https://mcp.example.org.")
    keys: str = setting("", "The file of API keys that `mcpserve keys add` makes. Who shows none is not let in.")
    issuers: tuple[str, ...] = setting(
        (), "The issuer URL of an authorization server whose access tokens let in. Repeatable.", option="issuer"
    )
    audiences: tuple[str, ...] = setting(
        (), "What access tokens may be made for, beside the URL of this server. Repeatable.", option="audience"
    )
    scopes: tuple[str, ...] = setting((), "A scope that each access token must have. Repeatable.", option="scope")
    scope_includes: tuple[str, ...] = setting(
        (), "A scope and those it includes, as in 'admin=read write'. Repeatable.", option="scope-include"
    )
    groups_claim: str = setting("groups", "The claim of access tokens that names the groups of their subject.")
    token_leeway: float = setting(30.0, "Seconds by which the clocks of issuers may be wrong.", least=0)
    issuer_refresh: float = setting(300.0, "Seconds after which the keys of an issuer are fetched again.", least=10)
    issuer_outage: float = setting(
        3600.0, "Seconds for which the last keys of an issuer hold while it can't be reached.", least=0
    )
    introspection: str = setting("", "Where the one issuer is asked about each access token (RFC 7662), instead of "
        "reading it as a JWT: the URL of its introspection endpoint."
    )  # fmt: skip
    introspection_client: str = setting("", "The client id with which to ask there.")
    introspection_secret: str = setting("", "The secret of that client. Best in the file.", secret=True)
    introspection_ttl: float = setting(30.0, "Seconds for which an answer from there is remembered.", least=0)
    trusted_proxies: tuple[str, ...] = setting(
        (), "A proxy whose X-Forwarded-*, Forwarded and PROXY protocol count: an address, a network such as "
        "10.0.0.0/8, or unix for who comes by a UNIX socket. Repeatable.", option="trusted-proxy"
    )  # fmt: skip
    cors_credentials: bool = setting(False, "Let pages have the browser send cookies and the like along.")
    rate_per_address: str = setting("", "How often one address may ask: 10/minute, or 100/second burst 200.")
    rate_per_caller: str = setting("", "How often one caller who has a name may ask.")
    tool_rates: tuple[str, ...] = setting(
        (), "How often a tool may be called, as in stretch=10/minute, or by each party, as in 'stretch=2/minute each'. "
        "Repeatable.", option="tool-rate"
    )  # fmt: skip
    name: str = setting("mcpserve", "The name that the server gives itself.")
    instructions: str = setting("", "Guidance for models on how to use this server.")
    drain: float = setting(10.0, "Seconds that running calls may take to end when the server stops.", least=0)
    drain_delay: float = setting(
        0.0, "Seconds between being no longer ready and listening no more, for a load balancer to notice.", least=0
    )
    ops_listen: tuple[str, ...] = setting(
        (), "Where to listen for the operator: an endpoint for /metrics, and for /health with details. Repeatable."
    )
    log_format: str = setting("text", "How the log is written: text, for people, or json, for machines.")
    access_log: bool = setting(False, "Write a line for each request into the log.")
    tracing: bool = setting(
        False, "Send an OpenTelemetry span for each request to where OTEL_EXPORTER_OTLP_ENDPOINT says."
    )
    blocked_after: float = setting(1.0, "Seconds after which the log names what blocks the reactor. 0: never.", least=0)
    page_size: int = setting(250, "Items on one page of a list.", least=1)
    keep_alive: float = setting(15.0, "Seconds of silence after which a stream gets a comment.", least=0.1)
    stream_buffer: int = setting(1024 * 1024, "Bytes that may wait for one slow reader.", least=1024)
    write_stall: float = setting(30.0, "Seconds after which a reader that does not read is cut off.", least=1)
    body_limit: int = setting(4 * 1024 * 1024, "Bytes of the largest request body.", least=1024)
    body_memory: int = setting(256 * 1024 * 1024, "Bytes of all large bodies that arrive at once.", least=1024)
    header_limit: int = setting(16_384, "Bytes of the request line and all headers together.", least=1024)
    header_count: int = setting(100, "Headers of one request.", least=10)
    url_limit: int = setting(8192, "Bytes of a URL.", least=256)
    max_connections: int = setting(20_000, "Connections at once.", least=1)
    max_connections_of_address: int = setting(0, "Those of one address. 0: a tenth.", least=0)
    header_timeout: float = setting(10.0, "Seconds in which the headers of a request must arrive.", least=0.1)
    body_timeout: float = setting(30.0, "Seconds in which the body of a request must arrive.", least=0.1)
    idle_timeout: float = setting(60.0, "Seconds that a connection may be idle between two requests.", least=1)
    max_calls: int = setting(10_000, "Calls that may run at once.", least=1)
    max_calls_of_caller: int = setting(0, "Those of one caller, or of one address. 0: a tenth.", least=0)
    max_listeners: int = setting(10_000, "Streams of subscriptions/listen at once.", least=0)
    max_listeners_of_caller: int = setting(0, "Those of one caller, or of one address. 0: a tenth.", least=0)
    max_watched: int = setting(1000, "Resources to whose updates one client may subscribe.", least=0)
    max_sessions: int = setting(10_000, "Sessions of clients before 2026-07-28 at once.", least=1)
    max_sessions_of_caller: int = setting(0, "Those of one caller, or of one address. 0: a tenth.", least=0)
    session_idle: float = setting(1800.0, "Seconds without use after which a session ends.", least=1)
    session_lifetime: float = setting(86_400.0, "Seconds after which a session ends in any case.", least=1)
    resume_grace: float = setting(30.0, "Seconds that a resumable stream waits for its client.", least=0)
    resume_events: int = setting(1000, "Events that one resumable stream keeps for its client.", least=1)
    resume_size: int = setting(1024 * 1024, "Bytes that one resumable stream keeps for its client.", least=1024)
    resume_age: float = setting(600.0, "Seconds that a resumable stream keeps an event for its client.", least=1)
    resume_memory: int = setting(256 * 1024 * 1024, "Bytes that all resumable streams keep together.", least=65536)
    store: str = setting("memory", "Where sessions, streams and tasks are kept: memory, or sqlite:FILE.")
    http_sse: bool = setting(False, "Serve the HTTP with SSE of 2024-11-05 too, at /sse and /messages.")
    task_ttl: float = setting(3600.0, "Seconds that a task may work, and then those that its outcome is kept.", least=1)
    task_poll: float = setting(1.0, "Seconds that clients are told to wait between two looks at a task.", least=0.01)
    max_tasks: int = setting(1000, "Tasks at once, at work or ended.", least=1)
    max_tasks_of_caller: int = setting(100, "Tasks at once of one caller who has a name.", least=1)
    threads: int = setting(10, "Threads for tools that block.", least=1)
    thread_queue: int = setting(100, "Calls that may wait for a thread, when all of them are busy.", least=0)
    state_key: str = setting("", "The secret that seals what clients carry between two rounds of a call: 32 bytes in "
        "URL-safe base64. By default a random one; give it to processes that serve the same clients. Best in the file.",
        secret=True,
    )  # fmt: skip
    state_ttl: float = setting(900.0, "Seconds that a client may take between two rounds of a call.", least=1)
    access: Access = attrs.field(factory=Access)
    plugin: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)


FORMATS = ("text", "json")
_STORE = re.compile(r"memory|sqlite:.+")
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}=")
KNOWN: Mapping[str, Any] = {field.name: field for field in attrs.fields(Settings)}

HTTP_ONLY = frozenset(
    {
        "listen",
        "ops_listen",
        "drain_delay",
        "allow_hosts",
        "allow_origins",
        "public_url",
        "keys",
        "issuers",
        "audiences",
        "scopes",
        "scope_includes",
        "groups_claim",
        "token_leeway",
        "issuer_refresh",
        "issuer_outage",
        "introspection",
        "introspection_client",
        "introspection_secret",
        "introspection_ttl",
        "trusted_proxies",
        "cors_credentials",
        "rate_per_address",
        "rate_per_caller",
        "max_calls_of_caller",
        "max_listeners_of_caller",
        "max_sessions_of_caller",
        "body_memory",
        "header_limit",
        "header_count",
        "url_limit",
        "max_connections",
        "max_connections_of_address",
        "keep_alive",
        "header_timeout",
        "body_timeout",
        "idle_timeout",
        "max_sessions",
        "session_idle",
        "session_lifetime",
        "resume_grace",
        "resume_events",
        "resume_size",
        "resume_age",
        "resume_memory",
        "store",
        "http_sse",
    }
)
"""Settings that mean nothing where one client is connected by pipes."""


def read_file(path: Path) -> dict[str, Any]:
    """Read a configuration file.

    Args:
        path: A TOML file; every setting is a key, and `[plugin.NAME]` is the table of a plugin.

    Returns:
        The settings in it, checked. Directories of plugins are seen from where the file is.

    Raises:
        ConfigurationError: The file can't be read, is not TOML, or holds keys or values that do not fit; the message
            has a line for each.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from error
    settings, problems = {}, []
    for key, value in values.items():
        try:
            settings[key] = checked(key, value, str(path))
        except ConfigurationError as error:
            problems.append(str(error))
    if problems:
        raise ConfigurationError("\n".join(problems))
    return settings | absolute(settings, path.parent)


def absolute(settings: Mapping[str, Any], start: Path) -> dict[str, Any]:
    """The settings that name files, made absolute: a daemon changes its own directory, and looks for them later."""
    found: dict[str, Any] = {}
    if "plugins" in settings:
        found["plugins"] = tuple(str((start / directory).absolute()) for directory in settings["plugins"])
    kind, _, name = settings.get("store", "").partition(":")
    if name:
        found["store"] = f"{kind}:{(start / name).absolute()}"
    if settings.get("keys"):
        found["keys"] = str((start / settings["keys"]).absolute())
    return found


def checked(key: str, value: Any, source: str) -> Any:
    """Check one setting.

    Args:
        key: Its name in `Settings`.
        value: As TOML or the command line gives it.
        source: The file, or "the command line", for the message.

    Raises:
        ConfigurationError: The key is unknown, or the value has the wrong type or is too small.
    """
    field = KNOWN.get(key)
    if field is None:
        raise ConfigurationError(f"{source}: there is no setting {key!r}; there are: {', '.join(KNOWN)}")
    if key == "plugin":
        return _plugin_tables(value, source)
    if key == "access":
        return _access(value, source)
    kind = type(field.default)
    fits, wanted = _FITS[kind]
    if key == "plugins" and isinstance(value, dict):
        raise ConfigurationError(f"{source}: plugins lists directories; the table of a plugin is [plugin.NAME]")
    if not fits(value):
        seen = "" if field.metadata["secret"] else f", not {value!r}"
        raise ConfigurationError(f"{source}: {key} must be {wanted}{seen}")
    least = field.metadata["least"]
    if least is not None and value < least:
        raise ConfigurationError(f"{source}: {key} must be at least {least:g}, not {value!r}")
    if key == "state_key" and value and not _SECRET.fullmatch(value):
        # the value itself is not for logs
        raise ConfigurationError(f"{source}: state_key must be 32 bytes in URL-safe base64, ending with one =")
    if key == "store" and not _STORE.fullmatch(value):
        raise ConfigurationError(f"{source}: store must be memory, or sqlite: and the name of a file, not {value!r}")
    if key == "log_format" and value not in FORMATS:
        raise ConfigurationError(f"{source}: log_format must be {' or '.join(FORMATS)}, not {value!r}")
    _check_form(key, value, source)
    return kind(value)


def _check_form(key: str, value: Any, source: str) -> None:
    if key in _READ and value:
        try:
            _READ[key](value)
        except ConfigurationError as error:
            raise ConfigurationError(f"{source}: {key}: {str(error).removeprefix(key + ': ')}") from error


_READ: Mapping[str, Any] = {
    "trusted_proxies": Proxies,
    "rate_per_address": read_rate,
    "rate_per_caller": read_rate,
    "tool_rates": read_tool_rates,
}
"""Settings that are texts of a form of their own."""


def _plugin_tables(value: Any, source: str) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(value, dict) or not all(isinstance(table, dict) for table in value.values()):
        raise ConfigurationError(f"{source}: plugin must hold one table for each plugin, as in [plugin.tail]")
    return value


def _access(value: Any, source: str) -> Access:
    try:
        return read_access(value)
    except ConfigurationError as error:
        lines = str(error).split("\n")
        raise ConfigurationError("\n".join(f"{source}: {line}" for line in lines)) from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e308


_FITS: Mapping[type, tuple[Any, str]] = {
    bool: (lambda v: isinstance(v, bool), "true or false"),
    int: (lambda v: isinstance(v, int) and not isinstance(v, bool), "a whole number"),
    float: (_is_number, "a number"),
    str: (lambda v: isinstance(v, str), "a text"),
    tuple: (lambda v: isinstance(v, list | tuple) and all(isinstance(i, str) for i in v), "a list of texts"),
}
