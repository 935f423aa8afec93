"""Twisted's parser of HTTP/1.1, made strict.

What this file guarantees:

1. A head that two programs could read as two different requests is refused: a name that is no token, a value with a
   line break or NUL in it, lengths and codings that contradict each other or that Twisted overlooks, another number of
   Hosts than one.
2. Whatever the parser dislikes is answered with a status; Twisted closes without a word.
3. Headers are kept once, as bytes under their names in lower case. No `Headers` are built.

Parsing is Twisted's `HTTPChannel`; what is overridden says what it lacks.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from twisted.web import http

from mcpserve.web.heads import is_host, known_lines, read_line, split_target
from mcpserve.web.request import McpRequest
from mcpserve.web.sending import HeaderList

if TYPE_CHECKING:
    from mcpserve.web.site import McpSite

LENGTH_DIGITS = 19

_HTTPChannel: Any = http.HTTPChannel  # it has no types


class StrictChannel(_HTTPChannel):  # type: ignore[misc]
    """A connection whose requests are well-formed.

    Args:
        site: The site, for its limits.
    """

    requests: list[McpRequest]
    requestFactory = McpRequest
    transport: Any
    timeOut = None
    _path: bytes
    _valid_host: bytes | None = None

    def __init__(self, site: McpSite) -> None:
        super().__init__()
        self.site = self.factory = site
        self.maxHeaders = site.limits.header_count
        self.totalHeadersSize = self.MAX_LENGTH = site.limits.header_bytes

    def refuse(self, status: int, sentence: str, more: HeaderList = ()) -> None:
        """Answer a request that has not arrived as a whole; arguments as of `McpRequest.refuse`."""
        raise NotImplementedError

    def lineLengthExceeded(self, line: bytes) -> None:
        """Answer 431; Twisted closes without a word."""
        self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request line or a header is too long.")

    def headerReceived(self, line: bytes) -> bool:
        """Keep one header. Unlike the inherited one, build no `Headers`, and limit the digits of a length."""
        known = known_lines.get(line) or read_line(line)
        if known is None:
            self._respondToBadRequestAndDisconnect()
            return False
        name, value = known
        if name == b"content-length":
            # int() of thousands of digits raises in Python; so many digits are never a length.
            if len(value) > LENGTH_DIGITS or not self._maybeChooseTransferDecoder(b"Content-Length", value):
                self._respondToBadRequestAndDisconnect()
                return False
        elif name == b"transfer-encoding" and not self._is_chunked(value):
            return False
        self._receivedHeaderCount += 1
        if self._receivedHeaderCount > self.maxHeaders:
            self._respondToBadRequestAndDisconnect()
            return False
        request = self.requests[-1]
        if name in request.fields:
            request.repeated.append(known)
        else:
            request.fields[name] = value
        return True

    def _is_chunked(self, coding: bytes) -> bool:
        # Twisted overlooks `identity`, which is no coding any more; a proxy that does not would see another body
        if coding.lower() != b"chunked":
            self._respondToBadRequestAndDisconnect()
            return False
        return bool(self._maybeChooseTransferDecoder(b"Transfer-Encoding", coding))

    def target_is_valid(self, request: McpRequest) -> bool:
        """Tell whether the request line and the Host say together what is asked for."""
        # RFC 9112, 3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message
        # that lacks a Host header field and to any request message that contains more than one Host header field line
        # or a Host header field with an invalid field value."
        host = request.fields.get(b"host")
        if host is None:
            if self._version == b"HTTP/1.1":
                return False
        elif host != self._valid_host:
            if not is_host(host):
                return False
            self._valid_host = host
        if request.repeated and len(request.header_values(b"host")) > 1:
            return False
        if self._path[:1] != b"/":
            # RFC 9112, 3.2.2: the authority of a target in absolute form replaces Host
            absolute = split_target(self._path)
            if absolute is None:
                return False
            request.fields[b"host"], self._path = absolute
        return True

    def may_persist(self, request: McpRequest) -> bool:
        """Tell whether the connection may serve another request after this one."""
        if self._version != b"HTTP/1.1" or self.site.draining:
            return False
        connection = request.fields.get(b"connection")
        return connection is None or b"close" not in [part.strip() for part in connection.lower().split(b",")]

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Twisted's parser calls this for whatever it dislikes, and for heads that are too large."""
        if self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders:
            self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too many or too large.")
        else:
            self.refuse(HTTPStatus.BAD_REQUEST, "The request is not well-formed HTTP/1.1.")
