"""JSON-RPC as servers send it: read as the specification has it, and forgiving what many of them do nevertheless."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from mcpserve.errors import BadAnswer, InvalidRequest
from mcpserve.protocol.jsonrpc import Message, message_from

UNSUPPORTED_VERSION = -32022
METHOD_NOT_FOUND = -32601
MODERN_CODES = (-32020, -32021, UNSUPPORTED_VERSION)
"""The codes that only a server of 2026-07-28 or later sends. Spec: Overview, Error Codes."""


def read(data: bytes) -> Sequence[Message]:
    """The messages in a body or in an event: one, or those of a batch.

    Raises:
        BadAnswer: It is not JSON, or not JSON-RPC.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadAnswer(f"The server sent something that is not JSON in UTF-8: {error.msg}") from None
    if not isinstance(value, list):
        return (_message(value),)
    if not value:
        raise BadAnswer("The server sent an empty batch")
    return [_message(item) for item in value]


def _message(value: Any) -> Message:
    try:
        return message_from(value)
    except InvalidRequest as error:
        mended = _without_nulls(value)
        if mended == value:
            raise BadAnswer(f"The server sent something that is not JSON-RPC: {error.message}") from None
        return _message(mended)


def _without_nulls(value: Any) -> Any:
    """Leave out the members that some servers send as null where the specification wants none: `"id": null`."""
    if not isinstance(value, dict):
        return value
    kept = {name: member for name, member in value.items() if member is not None or name not in _NULLABLE}
    if "error" not in kept and "method" not in kept and "result" in value:
        kept["result"] = value["result"]
    return kept


_NULLABLE = ("id", "params", "error", "result")


def error_code(error: Mapping[str, Any] | None) -> int | None:
    """The code of a JSON-RPC error; None where there is no error, or none that is an integer."""
    code = None if error is None else error.get("code")
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def supported_versions(error: Mapping[str, Any]) -> Sequence[str]:
    """`data.supported` of an UnsupportedProtocolVersionError: the names in it, in its order."""
    data = error.get("data")
    return names(data.get("supported")) if isinstance(data, dict) else ()


def names(value: Any) -> Sequence[str]:
    """The strings in a list; empty for anything else."""
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else ()
