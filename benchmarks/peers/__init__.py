"""The peers: which servers, and which clients, stand side by side, how each is started, and what each is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

HERE = Path(__file__).resolve().parent
PLUGINS = HERE.parent / "plugins"
LISTED_TOOLS = 200
CLIENT_CASES = frozenset({"client-calls", "client-events", "client-memory"})


@attrs.frozen(kw_only=True)
class Programs:
    """What the peers run on.

    Attributes:
        mcpserve: A Python that has mcpserve, and Twisted with it.
        python: A Python that has the Python peers.
        node: The Node program.
        node_folder: Where the Node packages and `typescript.mjs` are.
    """

    mcpserve: str
    python: str
    node: str
    node_folder: Path


Command = Callable[[Programs, int, str], Sequence[str]]


@attrs.frozen(kw_only=True)
class Peer:
    """A server under test, or a client.

    Attributes:
        name: How it is called on the command line and in the tables.
        about: What it is, in a few words.
        cases: The cases it takes part in.
        session: Whether it is asked in a session of the legacy era.
        command: Gives the command line, from the programs, a port (a client's is that of its server) and the case.
    """

    name: str
    about: str
    cases: frozenset[str]
    session: bool = False
    command: Command


def mcpserve_command(programs: Programs, port: int, case: str) -> Sequence[str]:
    """mcpserve as an operator starts it, with the plugins that the case needs."""
    plugins = {"start": [], "list": ["--no-shipped", "--plugins", str(PLUGINS / "listed")]}
    extra = plugins.get(case, ["--plugins", str(PLUGINS / "streams")])
    listen = f"tcp:{port}:interface=127.0.0.1"
    return [programs.mcpserve, "-m", "twisted", "mcpserve", "--listen", listen, *extra]


def mcpserve_legacy_command(programs: Programs, port: int, case: str) -> Sequence[str]:
    """The same; a lost stream is given up at once where cancellation is measured, as else it waits for its client."""
    extra = ["--resume-grace", "0"] if case == "cancel" else []
    return [*mcpserve_command(programs, port, case), *extra]


def python_command(programs: Programs, port: int, case: str) -> Sequence[str]:
    """The Python SDK in its fastest configuration; streams need SSE, which `--json` never sends."""
    json = ["--json"] if case in ("echo", "list", "start") else []
    return [programs.python, str(HERE / "python_sdk.py"), str(port), *json, *listed(case)]


def python_default_command(programs: Programs, port: int, case: str) -> Sequence[str]:
    """The Python SDK as it comes."""
    return [programs.python, str(HERE / "python_sdk.py"), str(port), *listed(case)]


def fastmcp_command(programs: Programs, port: int, case: str) -> Sequence[str]:
    """FastMCP as it comes."""
    return [programs.python, str(HERE / "fastmcp_server.py"), str(port), *listed(case)]


def typescript_command(programs: Programs, port: int, case: str) -> Sequence[str]:
    """The TypeScript SDK on Node."""
    tools = str(LISTED_TOOLS) if case == "list" else "0"
    return [programs.node, str(programs.node_folder / "typescript.mjs"), str(port), tools]


def uvicorn_command(programs: Programs, port: int, case: str) -> Sequence[str]:
    """A bare ASGI application."""
    return [programs.python, str(HERE / "bare_uvicorn.py"), str(port)]


def twisted_command(programs: Programs, port: int, case: str) -> Sequence[str]:
    """A bare resource."""
    return [programs.mcpserve, str(HERE / "bare_twisted.py"), str(port)]


def mcpserve_client_command(programs: Programs, port: int, case: str) -> Sequence[str]:
    """Our client."""
    return [programs.mcpserve, str(HERE / "client_mcpserve.py"), f"http://127.0.0.1:{port}/mcp"]


def python_client_command(programs: Programs, port: int, case: str) -> Sequence[str]:
    """The client of the Python SDK."""
    return [programs.python, str(HERE / "client_python.py"), f"http://127.0.0.1:{port}/mcp"]


def canned_command(programs: Programs, port: int) -> Sequence[str]:
    """The server that clients are measured against; it is no peer."""
    return [programs.python, str(HERE / "canned.py"), str(port)]


def listed(case: str) -> Sequence[str]:
    """The option for tools that are there to be listed."""
    return ["--tools", str(LISTED_TOOLS)] if case == "list" else []


PEERS: Sequence[Peer] = (
    Peer(
        name="mcpserve",
        about="mcpserve, modern requests",
        cases=frozenset({"echo", "burst", "ticks", "cancel", "list", "start"}),
        command=mcpserve_command,
    ),
    Peer(
        name="mcpserve-legacy",
        about="mcpserve, a session of 2025-11-25",
        cases=frozenset({"echo", "burst", "cancel", "list"}),
        session=True,
        command=mcpserve_legacy_command,
    ),
    Peer(
        name="python",
        about="Python SDK, fastest: modern, stateless, JSON (SSE for streams), uvicorn",
        cases=frozenset({"echo", "burst", "ticks", "cancel", "list", "start"}),
        command=python_command,
    ),
    Peer(
        name="python-default",
        about="Python SDK as it comes: a session, SSE, uvicorn",
        cases=frozenset({"echo", "burst", "cancel", "list"}),
        session=True,
        command=python_default_command,
    ),
    Peer(
        name="fastmcp",
        about="FastMCP as it comes: a session, SSE, uvicorn",
        cases=frozenset({"echo", "burst", "list", "start"}),
        session=True,
        command=fastmcp_command,
    ),
    Peer(
        name="typescript",
        about="TypeScript SDK on Node, modern requests",
        cases=frozenset({"echo", "burst", "ticks", "cancel", "list", "start"}),
        command=typescript_command,
    ),
    Peer(
        name="uvicorn",
        about="ceiling: a bare ASGI application with a canned answer",
        cases=frozenset({"echo", "start"}),
        command=uvicorn_command,
    ),
    Peer(
        name="twisted",
        about="ceiling: a bare twisted.web resource with canned answers",
        cases=frozenset({"echo", "burst", "ticks", "start"}),
        command=twisted_command,
    ),
    Peer(
        name="mcpserve-client",
        about="our client",
        cases=CLIENT_CASES,
        command=mcpserve_client_command,
    ),
    Peer(
        name="python-client",
        about="the client of the Python SDK, uvloop",
        cases=CLIENT_CASES,
        command=python_client_command,
    ),
)
