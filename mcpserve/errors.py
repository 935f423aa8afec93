"""Every exception that mcpserve raises, in one tree.

    McpserveError
    ├── ToolError                       an author's own words on what went wrong; they reach the client
    │   └── NotFound                    the same, of a resource that does not exist
    ├── PluginError                     a plugin that can't be loaded or does not fit
    ├── ConfigurationError              an option or a configuration file that is wrong
    ├── StoreError                      a store that can't be opened or written
    ├── StartError                      the process can't start; also a SystemExit
    ├── Unproven                        a credential does not prove who is calling
    │   ├── ScopeMissing                it does, but does not allow enough
    │   └── IssuerUnavailable           nobody can say now: its issuer can't be asked
    ├── ClientError                     what our client was asked to do did not come about
    │   ├── Unreachable                 there is no connection: refused, no such host, no TLS, no such command
    │   ├── DeadlinePassed              a deadline passed; says which
    │   ├── AnswerLost                  the answer broke off before its result came
    │   ├── AnswerTooLarge              more bytes came than a limit allows
    │   ├── BadAnswer                   what came is not MCP
    │   ├── Refused                     the server refused with an HTTP status that no other class stands for
    │   │   └── Unauthorized            401 or 403: credentials are missing, wrong or too weak
    │   ├── RemoteError                 a JSON-RPC error: code, message, data
    │   └── ClientClosed                the client was closed, or not yet opened
    └── ProtocolError                   an answer in JSON-RPC terms: code, HTTP status, data
        ├── ParseError                  -32700
        ├── InvalidRequest              -32600
        ├── MethodNotFound              -32601
        ├── InvalidParams               -32602
        │   ├── MalformedMetadata       -32602, as the envelope is at fault: 400
        │   └── UnknownResource         -32602, before 2026-07-28 -32002
        ├── InternalError               -32603
        ├── HeaderMismatch              -32020
        ├── MissingCapability           -32021
        ├── UrlElicitationRequired      -32042, of 2025-11-25 alone
        ├── UnsupportedVersion          -32022
        └── Refusal                     HTTP refusals: 403, 405, 406, 413, 415, 421, 503
            └── Busy                    429, 503: not now, but after a while

The one table from the kind of an error to its JSON-RPC code and its HTTP status is the class attributes below.
`status` is the HTTP status in revision 2026-07-28; `legacy_status` is the one in the revisions before. `legacy_code`
is the code in the revisions before, where it was another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from types import MappingProxyType
from typing import Any, ClassVar


class McpserveError(Exception):
    """The root of all exceptions that mcpserve raises on purpose."""


class ToolError(McpserveError):
    """A tool failed in a way that the model should read about; or a prompt or a resource did.

    Args:
        message: What went wrong and what to change; it reaches the client as it is.

    Spec: Tools, Error Handling (2025-11-25 and 2026-07-28): tool execution errors are results with `isError`. Prompts
    and resources have no such results: there it is the message of an internal error, -32603.
    """


class NotFound(ToolError):
    """The resource that was asked for does not exist; raised by the function of a resource.

    Args:
        message: A sentence for the client. The URI is added by the server.

    Spec: Resources, Error Handling.
    """

    def __init__(self, message: str = "Resource not found") -> None:
        super().__init__(message)


class AskError(ToolError):
    """The client was to be asked for something, and there is no answer: it can't be asked, refused, or talked nonsense.

    Who does not catch it fails with its text.
    """


class Undeclared(AskError):
    """The client did not declare that it can be asked for this; nothing was sent.

    Args:
        required: The missing capabilities in the shape of `ClientCapabilities`, such as `{"sampling": {}}`.
    """

    def __init__(self, required: Mapping[str, Any]) -> None:
        super().__init__(f"This client can't be asked: it does not declare {_paths(required)}")
        self.required = dict(required)


class UrlRequired(AskError):
    """The user has to visit a page before this can be done: raise it where the work can't go on without.

    The client is told of the page, and may call again later. In 2026-07-28 it is asked in URL mode, in 2025-11-25 told
    by the error -32042; in older revisions, or if it can't show pages, the model reads the message and the URL.

    Args:
        message: Why the user should visit it.
        url: The page. Nothing in it may be secret, nor let its reader in somewhere.
        id: Names this visit in 2025-11-25; by default a random one.

    Spec: 2025-11-25, Elicitation, URL Elicitation Required Error.
    """

    def __init__(self, message: str, url: str, id: str | None = None) -> None:
        super().__init__(f"{message} {url}")
        self.message = message
        self.url = url
        self.id = id


class PluginError(McpserveError):
    """A plugin can't be loaded, or a tool in it is not well formed. The message names the file and the remedy."""


class ConfigurationError(McpserveError):
    """An option or a configuration file is wrong. The message names the key, the file and what would be right."""


class StoreError(McpserveError):
    """A store can't be opened or written. The message says what is wrong with which file."""


class StartError(McpserveError, SystemExit):
    """The process can't start; the message is the sentence that its operator reads.

    It is a SystemExit, so that `twist` ends with the sentence instead of a traceback, and an Exception, because
    `twistd` tells its waiting parent of nothing else.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = f"mcpserve: {message}"


class Unproven(McpserveError):
    """A credential does not prove who is calling.

    Args:
        message: What was seen, and which setting would change it; nothing secret.
    """


class ScopeMissing(Unproven):
    """A token proves who is calling, but does not allow enough.

    Args:
        message: What is missing.
        needed: All scopes that are needed.
        granted: The scopes that the token has.
    """

    def __init__(self, message: str, needed: Sequence[str], granted: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.needed = tuple(needed)
        self.granted = tuple(granted)


class IssuerUnavailable(Unproven):
    """Nobody can say now whether a token is good: its issuer can't be asked.

    Args:
        message: Which issuer, and what is wrong with it.
        retry_after: Seconds after which it is worth to try again.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ClientError(McpserveError):
    """What our client was asked to do did not come about.

    Args:
        message: A sentence that names the server and what was wrong; nothing secret.
    """


class Unreachable(ClientError):
    """There is no connection: it was refused, the host is unknown, TLS failed, or the command of a child is missing."""


class DeadlinePassed(ClientError):
    """A deadline passed; what was asked has been cancelled on the server where that is possible.

    Args:
        message: A sentence that names the deadline and its length.
        which: "connect", "head" (of the answer), "idle" (between two events) or "total".
    """

    def __init__(self, message: str, which: str) -> None:
        super().__init__(message)
        self.which = which


class AnswerLost(ClientError):
    """The answer broke off before its result came, and could not be resumed. Nobody knows whether the work was done."""


class AnswerTooLarge(ClientError):
    """More bytes came than a limit allows: in a body, in one event, or waiting for a consumer that is slow."""


class BadAnswer(ClientError):
    """What came is not MCP: no JSON, no JSON-RPC, another shape than the specification gives it."""


class Refused(ClientError):
    """The server refused with an HTTP status that no other class stands for.

    Args:
        message: A sentence with the status and what the server said.
        status: The HTTP status.
        retry_after: Seconds after which the server wants to be asked again, if it said so.
    """

    def __init__(self, message: str, status: int, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class Unauthorized(Refused):
    """401 or 403: credentials are missing, wrong or too weak.

    Args:
        message: A sentence with the status and what the server said.
        status: 401 or 403.
        challenges: The values of `WWW-Authenticate`, as they came.
    """

    def __init__(self, message: str, status: int, challenges: Sequence[str] = ()) -> None:
        super().__init__(message, status)
        self.challenges = tuple(challenges)


class RemoteError(ClientError):
    """The server answered with a JSON-RPC error.

    Args:
        code: Its code.
        message: Its message.
        data: Its data; None if there is none.
    """

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.data = data


class ClientClosed(ClientError):
    """The client was closed, or not yet opened."""


class ProtocolError(McpserveError):
    """An answer in JSON-RPC terms.

    Args:
        message: A sentence for the client: what was wrong, what to change.
        data: JSON for the error's `data` member; left out when None.

    Attributes:
        headers: More response headers, such as `Retry-After`; only where the answer has a status of its own.
    """

    code: int = -32603
    headers: Mapping[str, str] = MappingProxyType({})
    legacy_code: ClassVar[int | None] = None
    status: int = 200
    legacy_status: int = 200

    def __init__(self, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class ParseError(ProtocolError):
    """The body is not JSON in UTF-8."""

    code = -32700
    status = legacy_status = 400


class InvalidRequest(ProtocolError):
    """The body is JSON but not a JSON-RPC message that may stand here.

    Args:
        request_id: The id to echo, if the message carried a valid one.
    """

    code = -32600
    status = legacy_status = 400

    def __init__(self, message: str, data: Any = None, *, request_id: int | str | None = None) -> None:
        super().__init__(message, data)
        self.request_id = request_id


class MethodNotFound(ProtocolError):
    """The method is not served: unknown, removed in this revision, or of an extension that is off."""

    code = -32601
    status = 404

    def __init__(self, method: str) -> None:
        super().__init__(f"Method not found: {method[:128]}")


class InvalidParams(ProtocolError):
    """The method is served, but its params do not fit."""

    code = -32602


class MalformedMetadata(InvalidParams):
    """The request's `_meta` lacks or spoils a required field: the envelope is at fault, not the method's params."""

    status = legacy_status = 400


class UnknownResource(InvalidParams):
    """There is no resource of this URI.

    Spec: Resources, Error Handling: "servers MUST return a JSON-RPC error with code -32602"; -32002 until 2025-11-25.
    """

    legacy_code = -32002

    def __init__(self, uri: str, message: str = "Resource not found") -> None:
        super().__init__(message, {"uri": uri})


class InternalError(ProtocolError):
    """Something of ours failed; the log has the details under the id that the message names."""

    code = -32603


class HeaderMismatch(ProtocolError):
    """An HTTP header is missing, malformed, or says something else than the body."""

    code = -32020
    status = legacy_status = 400


class MissingCapability(ProtocolError):
    """The request did not declare a client capability that it needs.

    Args:
        required: The missing capabilities in the shape of `ClientCapabilities`, such as `{"sampling": {}}`.
    """

    code = -32021
    status = legacy_status = 400

    def __init__(self, required: Mapping[str, Any]) -> None:
        names = ", ".join(sorted(required))
        super().__init__(
            f"This request needs client capabilities that it did not declare: {names}",
            {"requiredCapabilities": dict(required)},
        )


class UrlElicitationRequired(ProtocolError):
    """The user has to visit pages before the request can be processed.

    Args:
        elicitations: What would be asked in URL mode, each with an id.
    """

    code = -32042

    def __init__(self, elicitations: Sequence[Mapping[str, Any]]) -> None:
        super().__init__("This request requires more information.", {"elicitations": list(elicitations)})


class UnsupportedVersion(ProtocolError):
    """The request asks for a protocol revision that is not served here."""

    code = -32022
    status = legacy_status = 400

    def __init__(self, requested: str, supported: Sequence[str]) -> None:
        super().__init__(
            f"Unsupported protocol version: {requested[:64]}",
            {"supported": list(supported), "requested": requested},
        )


class Refusal(ProtocolError):
    """The HTTP request is refused before its message counts.

    Args:
        status: The HTTP status.
        message: What was seen, and which setting or header would change it.
        headers: More response headers, such as `Allow` or `Retry-After`.
        code: The JSON-RPC code of the body.
    """

    code = -32600

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None, data: Any = None) -> None:
        super().__init__(message, data)
        self.status = self.legacy_status = status
        self.headers = dict(headers or {})


class Busy(Refusal):
    """There was too much of it; the same request may be answered after a while.

    Args:
        status: 429, this party asked for too much; 503, all together did.
        message: Which limit it was, and the setting that would change it.
        seconds: After which it is worth to try again.

    The code is the status, so that it can be told also where there is no HTTP status: in a batch, on a stream, over
    stdio. Spec: 2026-07-28, Overview, Error Codes: "New error codes ... SHOULD be allocated outside the JSON-RPC
    reserved range".
    """

    def __init__(self, status: int, message: str, seconds: float = 1.0) -> None:
        wait = max(1, ceil(seconds))
        super().__init__(status, message, {"Retry-After": str(wait)}, {"retryAfter": wait})
        self.code = status


def _paths(required: Mapping[str, Any]) -> str:
    """Spell capabilities as paths: `elicitation.url, roots`."""
    return ", ".join(".".join([name, *inner]) for name, inner in sorted(required.items()))
