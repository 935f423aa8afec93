"""What the answers to the first requests say of a server: the tables of negotiation, without I/O.

The answer to `server/discover` of 2026-07-28, by its status and what stands in it:

    2xx   a result with a version that we speak      Modern, in that version
    2xx   a result that names only older versions    Legacy
    2xx   a result that names only unknown versions  Failed
    2xx   another result, another error, nothing, HTML, a stream that ends       Legacy
    any   error -32022 with a modern version that we speak                       RetryWith that version, at most twice
    any   error -32022 with an older version that we speak                       Legacy
    any   error -32022 without either                                            Failed
    any   error -32020, -32021                                                   Failed: the server is modern
    404   error -32601: modern, although it has to implement server/discover     Modern, of which nothing is known
    401, 403                  the credentials had their say                      Failed
    3xx                       not to be followed                                 Failed
    429, 502, 503, 504        nothing is said of the era                         Failed
    400, 404, 405, other 4xx, other 5xx; no answer in time, or a broken one      Legacy
    no connection                                                                Failed

The answer to `initialize`:

    2xx   a result with a version that we speak      Established
    2xx   any other result                           Failed
    any   error -32022 with a modern version that we speak                       RetryWith that version, at most twice
    400, 404, 405             any other error, or none                           TryHttpSse
    anything else                                                                Failed

Spec: 2026-07-28, Versioning and Streamable HTTP, Backward Compatibility; 2025-11-25, Transports, Backwards
Compatibility.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from mcpserve.client.messages import (
    METHOD_NOT_FOUND,
    MODERN_CODES,
    UNSUPPORTED_VERSION,
    error_code,
    names,
    supported_versions,
)
from mcpserve.client.modern import mutual
from mcpserve.client.posting import Reply, remote_error
from mcpserve.client.session import Session, session_of
from mcpserve.errors import AnswerLost, AnswerTooLarge, BadAnswer, ClientError, DeadlinePassed
from mcpserve.protocol.revisions import LEGACY, MODERN, V2026_07_28, Revision


@attrs.frozen
class Modern:
    """The server speaks 2026-07-28 or later: which, and what it says of itself."""

    revision: Revision
    result: Mapping[str, Any]


@attrs.frozen
class RetryWith:
    """The server is modern, and wants this version."""

    revision: Revision
    error: ClientError


@attrs.frozen
class Legacy:
    """The server is of an era before, or no server that we know: a handshake will show. `why` in words."""

    why: str


@attrs.frozen
class Established:
    """There is a session."""

    session: Session


@attrs.frozen
class TryHttpSse:
    """The server may be one of 2024-11-05; if it is not, this is what was wrong."""

    error: ClientError


@attrs.frozen
class Failed:
    """There is nothing more to try."""

    error: ClientError


_SILENT = (429, 502, 503, 504)
_OLD_TRANSPORT = (400, 404, 405)


def discovered(reply: Reply, name: str) -> Modern | RetryWith | Legacy | Failed:
    """Judge an answer to `server/discover`; see the table above.

    Args:
        reply: The answer.
        name: The endpoint, as messages name it.
    """
    response = reply.response
    if response is not None and response.error is not None:
        verdict = _refused_as_modern(response.error, reply.status)
        if verdict is not None:
            return verdict
    elif response is not None and isinstance(response.result, dict) and 200 <= reply.status < 300:
        versions = response.result.get("supportedVersions")
        if isinstance(versions, list):
            return _of_versions(response.result, name)
    if reply.status in _SILENT:
        return Failed(reply.error)
    return Legacy(f"server/discover was answered with {reply.status}")


def undiscovered(error: ClientError) -> Legacy | Failed:
    """Judge that no answer to `server/discover` came at all."""
    late = isinstance(error, DeadlinePassed) and error.which != "connect"
    if late or isinstance(error, AnswerLost | AnswerTooLarge | BadAnswer):
        return Legacy(str(error))
    return Failed(error)


def initialized(reply: Reply, name: str) -> Established | RetryWith | TryHttpSse | Failed:
    """Judge an answer to `initialize`; see the table above."""
    response = reply.response
    if response is not None and response.error is None and 200 <= reply.status < 300:
        try:
            return Established(session_of(response.result, reply.session_id, name))
        except BadAnswer as error:
            return Failed(error)
    wrong: ClientError = reply.error
    if response is not None and response.error is not None:
        wrong = remote_error(response.error)
        wanted = _wanted(response.error)
        if wanted is not None:
            return RetryWith(wanted, wrong)
    return TryHttpSse(wrong) if reply.status in _OLD_TRANSPORT else Failed(wrong)


def _refused_as_modern(error: Mapping[str, Any], status: int) -> Modern | RetryWith | Legacy | Failed | None:
    """What an error says that only a modern server sends; None if others send it too."""
    code = error_code(error)
    # "The JSON-RPC error body distinguishes this case from a 404 returned by a legacy HTTP+SSE server".
    if status == 404 and code == METHOD_NOT_FOUND:
        return Modern(V2026_07_28, {})
    if code not in MODERN_CODES:
        return None
    if code == UNSUPPORTED_VERSION:
        wanted = _wanted(error)
        if wanted is not None:
            return RetryWith(wanted, remote_error(error))
        if any(version in LEGACY for version in supported_versions(error)):
            return Legacy("the server speaks only older versions")
    return Failed(remote_error(error))


def _wanted(error: Mapping[str, Any]) -> Revision | None:
    return mutual(supported_versions(error)) if error_code(error) == UNSUPPORTED_VERSION else None


def _of_versions(result: Mapping[str, Any], name: str) -> Modern | Legacy | Failed:
    versions = names(result["supportedVersions"])
    revision = mutual(versions)
    if revision is not None:
        return Modern(revision, result)
    if any(version in LEGACY for version in versions):
        return Legacy("the server speaks only older versions")
    ours, theirs = ", ".join([*LEGACY, *MODERN]), ", ".join(versions) or "none"
    return Failed(BadAnswer(f"{name} speaks the versions {theirs[:200]}; we speak {ours}"))
