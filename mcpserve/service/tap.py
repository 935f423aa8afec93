"""What `twist mcpserve` and `twistd mcpserve` call: the options, and the service made of them."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from twisted.application.service import Service
from twisted.internet import reactor
from twisted.python.usage import UsageError

from mcpserve.errors import ConfigurationError, PluginError
from mcpserve.service.bounds import origins, proxies
from mcpserve.service.daemon import Daemon
from mcpserve.service.identity import check_identity
from mcpserve.service.listening import parse
from mcpserve.service.logs import Logs, under_journal
from mcpserve.service.observers import check_tracing
from mcpserve.service.options import FIELDS, SettingOptions, refuse, taking
from mcpserve.service.plugins import load, report

WRONG_USAGE = 64
"""The exit status when there is no such option; that of `twist` itself."""

CHOOSES = "fileLogObserverFactory"
"""Where `twist` keeps what makes the observer that writes its log. `twistd` has no such thing, and stays as it is."""


@taking(FIELDS)
class Options(SettingOptions):
    """The options of the server over HTTP."""

    synopsis = "[options]"
    longdesc = (
        "Serves streaming MCP tools, in all protocol revisions, at /mcp. Tools come from plugins: Python files with "
        "functions decorated by @mcpserve.tool. SIGHUP reloads plugins, keys and certificates, SIGTERM and Ctrl-C stop "
        "the server in an orderly way."
    )

    parent: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.logs = Logs()

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Read the command line. What is no option of ours is said in one line: all options are more than a screen."""
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except UsageError as error:
            print(f"mcpserve: {error}{self._meant(str(error))}; --help lists all options", file=sys.stderr)
            raise SystemExit(WRONG_USAGE) from None

    def _meant(self, error: str) -> str:
        words: list[str] = re.findall(r"^option --(\S+) not recognized", error)
        known = [option.rstrip("=") for option in self.longOpt]
        near = [name for word in words for name in get_close_matches(word, known, 1, 0.75)]
        return f"; is --{near[0]} meant?" if near else ""

    def postOptions(self) -> None:
        """Have the log written as the settings say, unless somebody told `twist` how."""
        super().postOptions()
        self.logs = Logs(self.settings.log_format, under_journal())
        if self.parent is not None and CHOOSES in self.parent and not chosen(sys.argv[1:]):
            self.parent[CHOOSES] = self.logs.observer

    def report(self) -> int:
        """Say what would be served, and where; nothing is listened on."""
        checks = [check_identity, check_tracing, proxies, origins]
        return report(self.settings, sys.stdout, lambda described: parse(reactor, described), checks)


def makeService(options: Options) -> Service:
    """Make the service; plugins are loaded here, so that a broken one is refused before anything listens."""
    try:
        return Daemon(reactor, options.settings, load(options.settings), options.logs)
    except (ConfigurationError, PluginError) as error:
        refuse(str(error))


def chosen(words: Sequence[str]) -> bool:
    """Whether somebody said how `twist` is to write its log: its own options stand before the name of the plugin."""
    own = words[: words.index("mcpserve")] if "mcpserve" in words else []
    # a long option may be shortened, as long as it could be no other one
    return any(word.startswith("--log-fo") for word in own)
