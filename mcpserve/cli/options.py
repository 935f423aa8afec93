"""The words that all commands share which talk to a server: where it is, who calls, how it is shown."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from math import isfinite
from typing import Any

import click
from click.shell_completion import CompletionItem

from mcpserve.cli.reaching import SERVERS, Reaching
from mcpserve.cli.secrets import WHERE
from mcpserve.cli.suggesting import server_names
from mcpserve.protocol.revisions import LEGACY, MODERN
from mcpserve.protocol.types import LOG_LEVELS

STDIO = "--stdio"
_COMMAND = "mcpserve.command"
_MEMBERS = (
    "server",
    "config",
    "token",
    "api_key",
    "headers",
    "revision",
    "timeout",
    "log_level",
    "json_lines",
    "quiet",
    "verbose",
)


class Seconds(click.FloatRange):
    """A time that passes: neither infinite nor nothing that can be compared, both of which `float` reads."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it."""
        seconds = super().convert(value, param, ctx)
        if not isfinite(seconds):
            self.fail(f"{value} is no number of seconds.", param, ctx)
        return seconds


class ServerCommand(click.Command):
    """A command whose first argument is a server; or `--stdio`, and after a `--` the command of one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the server's command away from ours, and put something where SERVER would stand."""
        head, tail = _split(args)
        if STDIO in head:
            if not (tail or ctx.resilient_parsing):
                raise click.UsageError(
                    f"{STDIO} needs the command of a server: {STDIO} [...] -- COMMAND [ARGS...]", ctx
                )
            ctx.meta[_COMMAND] = tuple(tail)
            args = ["-", *head]
        return super().parse_args(ctx, args)


def talks(*, asks: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the argument SERVER and all options on it; its function gets a `Reaching` as its first argument.

    Args:
        asks: The server may ask something meanwhile: `--answer` is an option, too, and `answers` an argument.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def command(**values: Any) -> Any:
            ctx = click.get_current_context()
            said = {name: values.pop(name) for name in _MEMBERS}
            values.pop("stdio")
            started = ctx.meta.get(_COMMAND, ())
            server = None if started else said["server"]
            return function(Reaching(**{**said, "server": server}, command=started), **values)

        for decorator in reversed([*_OPTIONS, *(_ASKING if asks else [])]):
            command = decorator(command)
        return command

    return decorate


def _split(args: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in args:
        return args, []
    at = args.index("--")
    return args[:at], args[at + 1 :]


def _servers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in server_names(ctx.params.get("config")) if name.startswith(incomplete)]


_OPTIONS = [
    click.argument("server", shell_complete=_servers),
    click.option(STDIO, is_flag=True, help="There is no SERVER, but its command after a `--`: --stdio -- COMMAND ..."),
    click.option(
        "--config", type=click.Path(), metavar="FILE", help=f"Named servers, as `mcpServers` in JSON. [{SERVERS}]"
    ),
    click.option("--token", metavar="WHERE", help=f"Where a bearer token is: {WHERE}. [MCPSERVE_TOKEN holds one]"),
    click.option("--api-key", metavar="WHERE", help="Where a key for X-API-Key is. [MCPSERVE_API_KEY holds one]"),
    click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="Another HTTP header. Repeatable."),
    click.option("--revision", type=click.Choice([*MODERN, *reversed(LEGACY)]), help="Speak this one. [found out]"),
    click.option("--timeout", type=Seconds(0, min_open=True), metavar="SECONDS", help="For all of it."),
    click.option("--log-level", type=click.Choice(LOG_LEVELS), default="info", help="Least severe message. [info]"),
    click.option("--json-lines", is_flag=True, help="One JSON object a line, for scripts."),
    click.option("-q", "--quiet", is_flag=True, help="Only the outcome, not what comes on the way."),
    click.option("-v", "--verbose", is_flag=True, help="Say more of what is done."),
]
_ASKING = [
    click.option("--answer", "answers", multiple=True, metavar="KEY=VALUE", help="For a server's form. Repeatable."),
]
