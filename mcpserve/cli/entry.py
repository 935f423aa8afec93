"""Where the program begins: `stdio` goes its own way at once, everything else through `program`.

A host that starts a server waits for it, so nothing of what only people need (click, rich, the client) is loaded there;
and nothing has written to standard output by the time the messages own it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

STDIO = "stdio"


def main(words: Sequence[str] | None = None) -> None:
    """Carry a command out, and exit.

    Args:
        words: The command line without the program's name; that of the process by default.
    """
    given = list(sys.argv[1:] if words is None else words)
    if given[:1] == [STDIO]:
        serve: Callable[[Sequence[str]], None] = import_module("mcpserve.service.commands").main
        serve(given[1:])
    else:
        carry_out: Callable[[Sequence[str]], None] = import_module("mcpserve.cli.program").main
        carry_out(given)
