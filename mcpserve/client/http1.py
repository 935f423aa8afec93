"""HTTP/1.1 answers on paper: from the bytes of a connection to heads and bodies. No input, no output.

Strict where a mistake would let two readers disagree on where an answer ends, and no stricter. All of it is bounded,
and takes linear time however the bytes are cut. Spec: RFC 9112.
"""

from __future__ import annotations

import re
from typing import Protocol

import attrs
from twisted.web.http_headers import Headers

HEAD_LIMIT = 64 * 1024
"""The largest head, in bytes; also all the heads of interim answers of one answer, and all trailers of a body."""
CHUNK_LINE_LIMIT = 4 * 1024
"""The longest line before a chunk, in bytes, extensions included."""

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([^\r\n\0]*))?")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_END = re.compile(rb"\n\r?\n")
_HEX = b"0123456789abcdefABCDEF"
_WITHOUT_BODY = (204, 304)


class BadHttp(ValueError):
    """What came is not HTTP/1.1, or nothing that was asked for."""


class HeadTooLarge(BadHttp):
    """The head is larger than any head should be."""


@attrs.frozen(kw_only=True)
class Head:
    """The status line and the headers of an answer.

    Args:
        minor: The minor version: 0 or 1.
        status: The status.
        phrase: What the server calls it.
        headers: The headers.
    """

    minor: int
    status: int
    phrase: bytes
    headers: Headers


class HeadReader:
    """Waits for the head of the final answer; interim answers (1xx) are passed over."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._searched = 0
        self._seen = 0

    def feed(self, data: bytes) -> tuple[Head, bytes] | None:
        """Take bytes; give the head and what came after it, once it is there.

        Raises:
            BadHttp: It is no head, or too large.
        """
        self._held += data
        while (end := _END.search(self._held, self._searched)) is not None:
            lines, rest = bytes(self._held[: end.start()]), bytes(self._held[end.end() :])
            self._count(end.end())
            head = read_head(lines)
            if head.status >= 200:
                return head, rest
            if head.status == 101:
                raise BadHttp("The server wants to switch to a protocol that nobody asked for")
            self._held, self._searched = bytearray(rest), 0
        self._searched = max(0, len(self._held) - 2)
        if self._seen + len(self._held) > HEAD_LIMIT:
            raise HeadTooLarge(f"The head of the answer is larger than {HEAD_LIMIT} bytes")
        return None

    def _count(self, size: int) -> None:
        self._seen += size
        if self._seen > HEAD_LIMIT:
            raise HeadTooLarge(f"The head of the answer is larger than {HEAD_LIMIT} bytes")


def read_head(data: bytes) -> Head:
    """Read a head, without the empty line at its end.

    Raises:
        BadHttp: It is none.
    """
    first, *lines = [line.removesuffix(b"\r") for line in data.split(b"\n")]
    match = _STATUS_LINE.fullmatch(first)
    if match is None:
        raise BadHttp("What came does not begin with the status line of HTTP/1.1")
    headers = Headers()
    for name, value in _fields(lines):
        headers.addRawHeader(name, value)
    return Head(minor=int(match[1]), status=int(match[2]), phrase=match[3] or b"", headers=headers)


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    fields: list[tuple[bytes, bytes]] = []
    for line in lines:
        if b"\0" in line or b"\r" in line:
            raise BadHttp("There is a character in a header that may not be there")
        if line[:1] in (b" ", b"\t") and fields:
            # RFC 9112, 5.2: "A user agent that receives an obs-fold [...] MUST replace each received obs-fold with one
            # or more SP octets".
            name, value = fields.pop()
            fields.append((name, value + b" " + line.strip(b" \t")))
            continue
        name, colon, value = line.partition(b":")
        if not colon or _NAME.fullmatch(name) is None:
            raise BadHttp("There is a line in the head that is no header")
        fields.append((name, value.strip(b" \t")))
    return fields


class Body(Protocol):
    """Finds the end of a body."""

    done: bool
    """The body is complete."""
    rest: bytes
    """What came after it."""

    def feed(self, data: bytes) -> bytes:
        """Take bytes; give the content in them. BadHttp: it is no such body. Not called when done."""

    def closed(self) -> bool:
        """The connection was closed in good order: whether that is an end of this body."""


class Sized:
    """A body of a length that was told.

    Args:
        length: Its length, in bytes.
    """

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes."""
        self._left -= len(data)
        if self._left > 0:
            return data
        self.done = True
        if self._left == 0:
            return data
        data, self.rest = data[: self._left], data[self._left :]
        return data

    def closed(self) -> bool:
        """Bytes are missing."""
        return False


class UntilClose:
    """A body that ends when the connection does."""

    def __init__(self) -> None:
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes: all are content."""
        return data

    def closed(self) -> bool:
        """That is the end."""
        self.done = True
        return True


class Chunked:
    """A body in chunks. Extensions and trailers are read over. Spec: RFC 9112, section 7.1."""

    def __init__(self) -> None:
        self.done = False
        self.rest = b""
        self._held = b""
        self._left = 0
        self._after_chunk = False
        self._in_trailers = False
        self._trailers = 0

    def feed(self, data: bytes) -> bytes:
        """Take bytes."""
        if self._held:
            data, self._held = self._held + data, b""
        pieces: list[bytes] = []
        at, size = 0, len(data)
        while at < size and not self.done:
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._after_chunk = not self._left
                continue
            end = data.find(b"\n", at)
            if end < 0:
                self._hold(data[at:])
                break
            self._line(data[at:end])
            at = end + 1
        if self.done:
            self.rest = data[at:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def closed(self) -> bool:
        """The last chunk is missing."""
        return False

    def _hold(self, part: bytes) -> None:
        if len(part) > (HEAD_LIMIT if self._in_trailers else CHUNK_LINE_LIMIT):
            raise BadHttp("A line between the chunks of the answer does not end")
        self._held = part

    def _line(self, line: bytes) -> None:
        if line[-1:] != b"\r":
            raise BadHttp("A line between the chunks of the answer ends without a carriage return")
        if self._after_chunk:
            if line != b"\r":
                raise BadHttp("A chunk of the answer is longer than it says")
            self._after_chunk = False
        elif self._in_trailers:
            self._trailer(line)
        else:
            self._size(line)

    def _size(self, line: bytes) -> None:
        digits = line.partition(b";")[0].rstrip(b"\r\t ")
        # int() would take a sign, underscores and "0x" as well.
        if not digits or len(digits) > 16 or digits.translate(None, _HEX) or len(line) > CHUNK_LINE_LIMIT:
            raise BadHttp("A chunk of the answer does not begin with its length")
        self._left = int(digits, 16)
        self._in_trailers = not self._left

    def _trailer(self, line: bytes) -> None:
        self._trailers += len(line)
        if self._trailers > HEAD_LIMIT:
            raise BadHttp("There are too many trailers")
        self.done = line == b"\r"


def body_of(head: Head, method: bytes) -> Body:
    """How the end of the body of an answer is found.

    Args:
        head: Its head.
        method: The method of the request.

    Raises:
        BadHttp: That can't be known.

    Spec: RFC 9112, section 6.3.
    """
    if method == b"HEAD" or head.status in _WITHOUT_BODY:
        return Sized(0)
    codings = _listed(head.headers, b"transfer-encoding")
    if codings:
        if [coding.lower() for coding in codings] != [b"chunked"]:
            raise BadHttp("The answer comes in a transfer encoding that nobody asked for")
        return Chunked()
    lengths = set(_listed(head.headers, b"content-length"))
    if not lengths:
        return UntilClose()
    length = lengths.pop()
    if lengths or not length.isdigit() or len(length) > 18:
        raise BadHttp("The length of the answer is no number")
    return Sized(int(length))


def lasts(head: Head) -> bool:
    """Whether the connection may be used again after this answer has ended. Spec: RFC 9112, sections 6.3 and 9.3."""
    if head.minor == 0 or b"close" in [option.lower() for option in _listed(head.headers, b"connection")]:
        return False
    # "Such a message might indicate an attempt to perform request smuggling": read as chunked, but no further.
    return not (head.headers.hasHeader(b"transfer-encoding") and head.headers.hasHeader(b"content-length"))


def compressed(head: Head) -> bool:
    """Whether the body comes in another form than it has. Nobody asked for that, and nobody limits it."""
    return any(coding.lower() not in (b"identity", b"") for coding in _listed(head.headers, b"content-encoding"))


def _listed(headers: Headers, name: bytes) -> list[bytes]:
    values = headers.getRawHeaders(name)
    if values is None:
        return []
    return [item.strip(b" \t") for value in values for item in value.split(b",")]
