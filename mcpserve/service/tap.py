"""What `twist mcpserve` and `twistd mcpserve` call: the options, and the service made of them."""

from __future__ import annotations

import sys

from twisted.application.service import Service
from twisted.internet import reactor

from mcpserve.errors import ConfigurationError, PluginError
from mcpserve.service.bounds import origins, proxies
from mcpserve.service.daemon import Daemon
from mcpserve.service.identity import check_identity
from mcpserve.service.listening import parse
from mcpserve.service.options import FIELDS, SettingOptions, refuse, taking
from mcpserve.service.plugins import load, report


@taking(FIELDS)
class Options(SettingOptions):
    """The options of the server over HTTP."""

    synopsis = "[options]"
    longdesc = (
        "Serves streaming MCP tools, in all protocol revisions, at /mcp. Tools come from plugins: Python files with "
        "functions decorated by @mcpserve.tool. SIGHUP reloads the plugins, SIGTERM and Ctrl-C stop the server in an "
        "orderly way."
    )

    def report(self) -> int:
        """Say what would be served, and where; nothing is listened on."""
        return report(
            self.settings, sys.stdout, lambda described: parse(reactor, described), [check_identity, proxies, origins]
        )


def makeService(options: Options) -> Service:
    """Make the service; plugins are loaded here, so that a broken one is refused before anything listens."""
    try:
        return Daemon(reactor, options.settings, load(options.settings))
    except (ConfigurationError, PluginError) as error:
        refuse(str(error))
