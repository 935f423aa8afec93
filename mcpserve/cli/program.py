"""The program `mcpserve`: its commands, and how each ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any, ClassVar

import click

from mcpserve.cli import shells
from mcpserve.cli.lazy import Lazy, LazyGroup

PROGRAM = "mcpserve"
WRONG_USAGE, INTERRUPTED = 2, 130

_HELP = """Talk to MCP servers, and write and run your own.

SERVER is a URL, or a name in a file of servers (--config FILE, or MCPSERVE_SERVERS); or, after --stdio, what follows
`--` is the command of a server.

The server over HTTP is `twist mcpserve` or `twistd mcpserve`.
"""
_STATUS = "Exit status: 0 fine, 1 the tool failed, 2 wrong usage, 3 wrong answer, 4 no answer, 5 refused, 130 Ctrl-C."


class Program(LazyGroup):
    """The commands of the program."""

    lazy: ClassVar[Mapping[str, Lazy]] = {
        "info": Lazy("mcpserve.cli.probing:info", "Say what a server is and can, and how long it takes."),
        "ping": Lazy("mcpserve.cli.probing:ping", "Ask a server for a sign of life."),
        "tools": Lazy("mcpserve.cli.listing:tools", "List the tools of a server."),
        "call": Lazy("mcpserve.cli.calling:call", "Call a tool."),
        "resources": Lazy("mcpserve.cli.listing:resources", "List the resources of a server, and their templates."),
        "read": Lazy("mcpserve.cli.reading:read", "Read a resource."),
        "prompts": Lazy("mcpserve.cli.listing:prompts", "List the prompts of a server."),
        "prompt": Lazy("mcpserve.cli.reading:prompt", "Get a prompt."),
        "listen": Lazy("mcpserve.cli.hearing:listen", "Hear what changes on a server."),
        "keys": Lazy("mcpserve.cli.keys:keys", "Make, list and revoke the API keys of a server."),
        "can": Lazy("mcpserve.cli.can:can", "Say whether a caller may use something on your server, and why."),
        "new-plugin": Lazy("mcpserve.cli.plugin:new_plugin", "Write a plugin and its test, to begin with."),
        "stdio": Lazy("mcpserve.cli.serving:stdio", "Serve over standard input and output, as a child of an MCP host."),
        "completion": Lazy("mcpserve.cli.completing:completion", "Print what makes a shell complete these commands."),
    }


@click.command(
    cls=Program, help=_HELP, epilog=_STATUS, context_settings={"help_option_names": ["-h", "--help"]}, name=PROGRAM
)
@click.version_option(version(PROGRAM), message="%(version)s")
def program() -> None:
    """The group of all commands."""


def read(words: Sequence[str]) -> Any:
    """Read a command line: the exit status if that was all, else a job to be run."""
    shells.register()
    return program.main(list(words), prog_name=PROGRAM, standalone_mode=False)


def main(words: Sequence[str]) -> None:
    """Carry a command out, and exit."""
    try:
        outcome = read(words)
    except click.ClickException as error:
        error.show()
        raise SystemExit(WRONG_USAGE) from None
    except (click.Abort, KeyboardInterrupt):
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(1) from None
    if callable(outcome):
        run: Callable[[Any], int] = import_module("mcpserve.cli.running").run
        outcome = run(outcome)
    raise SystemExit(outcome)
