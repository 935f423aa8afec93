"""`mcpserve stdio`: its options, and what it does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.python.usage import UsageError

from mcpserve.errors import ConfigurationError, PluginError
from mcpserve.service import stdio
from mcpserve.service.logs import Logs
from mcpserve.service.options import FIELDS, SettingOptions, refuse, taking
from mcpserve.service.plugins import load, report
from mcpserve.service.settings import HTTP_ONLY

WRONG_USAGE = 64

DRAIN = 1.0
"""Seconds that calls have after the end of input: hosts wait for two, then they send SIGTERM."""


@taking([field for field in FIELDS if field.name not in HTTP_ONLY], drain=DRAIN)
class StdioOptions(SettingOptions):
    """The options of `stdio`."""

    synopsis = "Usage: python -m mcpserve stdio [options]"
    longdesc = (
        "Serves MCP tools to the program that started this one, over standard input and output, in all protocol "
        "revisions. Ends at the end of input. What only concerns HTTP may stand in the configuration file."
    )

    def getSynopsis(self) -> str:
        """Only its own: Twisted would put the name of the program before it."""
        return self.synopsis

    def report(self) -> int:
        """Say what would be served; nothing is listened on."""
        return report(attrs.evolve(self.settings, listen=(), ops_listen=()), sys.stdout)


def main(words: Sequence[str]) -> None:
    """Serve as the command line says.

    Args:
        words: What follows `stdio`.
    """
    options: Any = StdioOptions()
    try:
        options.parseOptions(list(words))
    except UsageError as error:
        print(f"mcpserve: {error}", file=sys.stderr)
        raise SystemExit(WRONG_USAGE) from None
    serve_stdio(options)


def serve_stdio(options: StdioOptions) -> None:
    """Serve over standard input and output. From here on, nobody else writes to standard output: no plugin does."""
    descriptors = stdio.claim_descriptors()
    logs = Logs(options.settings.log_format)
    stdio.log_to_stderr(logs)
    try:
        stdio.run(reactor, options.settings, load(options.settings), descriptors, logs)
    except (ConfigurationError, PluginError) as error:
        refuse(str(error))
