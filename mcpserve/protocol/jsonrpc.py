"""JSON-RPC 2.0 as MCP narrows it: from bytes to messages, and from values to bytes.

Rules (2026-07-28, Overview, Messages):
  1. A request has a method and an id; the id is a string or an integer, never null.
  2. A notification has a method and no id.
  3. A response has a result or an error, never both, and no method.
  4. params, where present, is an object.
An error's `id` is left out when the request's could not be read; the schema forbids null.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Mapping, Sequence
from itertools import accumulate, count
from operator import sub
from typing import Any, TypeGuard

import attrs
import orjson

from mcpserve.errors import InvalidRequest, ParseError, ProtocolError
from mcpserve.protocol.types import RequestId

MOST_LEVELS = 128
"""How deep a message may be nested: deeper than any that means something, and no danger to what reads it."""

_LARGE = 64 * 1024
_NEITHER = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_STRING = re.compile(rb'"[^"]*"')


@attrs.frozen
class Request:
    """A message that wants a reply."""

    id: RequestId
    method: str
    params: Mapping[str, Any]


@attrs.frozen
class Notification:
    """A message that wants none."""

    method: str
    params: Mapping[str, Any]


@attrs.frozen
class Response:
    """A reply of the peer to a request of ours; `id` is None for an error that could not name its request."""

    id: RequestId | None
    result: Any = None
    error: Mapping[str, Any] | None = None


Message = Request | Notification | Response


@attrs.frozen
class Batch:
    """A JSON array, its elements not yet looked at. Spec: 2025-03-26, Base Protocol, Batches."""

    items: Sequence[Any]


def parse(body: bytes) -> Message | Batch:
    """Read one HTTP body or one line of stdio.

    Raises:
        ParseError: It is not UTF-8 or not JSON.
        InvalidRequest: It is JSON but not a message, or nested more than `MOST_LEVELS` deep; carries the id where a
            valid one could be read.
    """
    try:
        value = orjson.loads(body) if len(body) < _LARGE else _load_large(body)
    except orjson.JSONDecodeError as error:
        raise ParseError(f"The body is not JSON in UTF-8: {error.msg} (line {error.lineno})") from None
    if body.count(b"{") + body.count(b"[") > MOST_LEVELS and _is_deeper(body, MOST_LEVELS):
        request_id = value.get("id") if isinstance(value, dict) else None
        known = request_id if is_id(request_id) else None
        raise InvalidRequest(f"The message is nested more than {MOST_LEVELS} levels deep", request_id=known)
    if isinstance(value, list):
        return Batch(value)
    return message_from(value)


def _load_large(body: bytes) -> Any:
    """Decode without the garbage collector, which would look again and again at what is just being made."""
    collects = gc.isenabled()
    gc.disable()
    try:
        return orjson.loads(body)
    finally:
        if collects:
            gc.enable()


def _is_deeper(body: bytes, levels: int) -> bool:
    """Tell whether valid JSON has more levels than this, without a loop over its bytes in Python.

    All but brackets and strings is taken away, then the strings. What opens before the n-th bracket that closes, less
    the n that have closed, is how deep it is there.
    """
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = _STRING.sub(b"", body.translate(_ONE_KIND, _NEITHER))
    opened = accumulate(map(len, brackets.split(b"]")))
    deepest: int = max(map(sub, opened, count()))
    return deepest > levels


def message_from(value: Any) -> Message:
    """Read a message from decoded JSON.

    Raises:
        InvalidRequest: It breaks one of the rules above; carries the id where a valid one could be read.
    """
    if not isinstance(value, dict):
        raise InvalidRequest("A JSON-RPC message is an object")
    request_id = value.get("id")
    known = request_id if is_id(request_id) else None
    if value.get("jsonrpc") != "2.0":
        raise InvalidRequest('The member "jsonrpc" must be "2.0"', request_id=known)
    if "method" not in value:
        return _response(value, known)
    method = value["method"]
    if not isinstance(method, str):
        raise InvalidRequest('The member "method" must be a string', request_id=known)
    if "result" in value or "error" in value:
        raise InvalidRequest("A message with a method has neither result nor error", request_id=known)
    params = value.get("params", _NO_PARAMS)
    if not isinstance(params, dict):
        raise InvalidRequest('The member "params" must be an object', request_id=known)
    if "id" not in value:
        return Notification(method, params)
    if known is None:
        raise InvalidRequest('The member "id" must be a string or an integer')
    return Request(known, method, params)


_NO_PARAMS: dict[str, Any] = {}


def is_id(value: Any) -> TypeGuard[RequestId]:
    """Tell whether this may be the id of a request: a string or an integer, and nothing that only equals one."""
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


def _response(value: dict[str, Any], known: RequestId | None) -> Response:
    error = value.get("error")
    if ("result" in value) == ("error" in value):
        raise InvalidRequest("A message has a method, or either a result or an error", request_id=known)
    if "error" in value and not isinstance(error, dict):
        raise InvalidRequest('The member "error" must be an object', request_id=known)
    if known is None and ("id" in value or error is None):
        raise InvalidRequest('The member "id" must be a string or an integer')
    return Response(known, value.get("result"), error)


def encode_result(request_id: RequestId, result: Any) -> bytes:
    """The bytes of a result response; `result` may hold `orjson.Fragment`s of what was encoded before."""
    return orjson.dumps({"jsonrpc": "2.0", "id": request_id, "result": result})


def encode_error(request_id: RequestId | None, error: ProtocolError, *, legacy: bool = False) -> bytes:
    """The bytes of an error response; without `id` when `request_id` is None."""
    code = error.legacy_code if legacy and error.legacy_code is not None else error.code
    body: dict[str, Any] = {"code": code, "message": error.message}
    if error.data is not None:
        body["data"] = error.data
    if request_id is None:
        return orjson.dumps({"jsonrpc": "2.0", "error": body})
    return orjson.dumps({"jsonrpc": "2.0", "id": request_id, "error": body})


def encode_notification(method: str, params: Mapping[str, Any] | None = None) -> bytes:
    """The bytes of a notification."""
    if params is None:
        return orjson.dumps({"jsonrpc": "2.0", "method": method})
    return orjson.dumps({"jsonrpc": "2.0", "method": method, "params": params})
