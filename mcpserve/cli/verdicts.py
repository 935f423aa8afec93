"""The exit status of each outcome, in one table.

0    it came about
1    the tool itself says that it failed (`isError`)
2    the command line, a file that it names, or the configuration is wrong
3    the server answered with an error, or with something that is not MCP
4    there is no answer: unreachable, lost on the way, too large, or too late
5    the server refused: 401, 403, or another HTTP status
128+ a signal: 130 Ctrl-C, 141 a closed pipe, 143 SIGTERM
"""

from __future__ import annotations

from mcpserve.cli.arguments import ArgumentError
from mcpserve.cli.things import Failed
from mcpserve.errors import BadAnswer, ClientError, ConfigurationError, Refused, RemoteError, Unauthorized

FINE, TOOL_FAILED, WRONG_USAGE, WRONG_ANSWER, NO_ANSWER, REFUSED = range(6)
INTERRUPTED, CLOSED_PIPE, TERMINATED = 130, 141, 143

_STATUS = ((RemoteError, WRONG_ANSWER), (BadAnswer, WRONG_ANSWER), (Refused, REFUSED))


def verdict(error: ClientError | ConfigurationError | ArgumentError) -> Failed:
    """What to say of an error, and with which status to end."""
    if not isinstance(error, ClientError):
        return Failed(kind="Usage", sentence=str(error), status=WRONG_USAGE)
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), NO_ANSWER)
    code, data = (error.code, error.data) if isinstance(error, RemoteError) else (None, None)
    return Failed(kind=type(error).__name__, sentence=f"{error}{_hint(error)}", status=status, code=code, data=data)


def _hint(error: ClientError) -> str:
    if isinstance(error, Unauthorized):
        return "; --token and --api-key, or MCPSERVE_TOKEN and MCPSERVE_API_KEY, say who is calling"
    return ""
