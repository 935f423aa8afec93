"""The lines of a request's head: what is well-formed, and what it says.

Clients repeat their headers with each request, so what a line or a name was found to be is remembered: of lines, those
whose values are few and no secrets.
"""

from __future__ import annotations

import re

Field = tuple[bytes, bytes]

# RFC 9110, 7.2 and RFC 3986, 3.2.2. Labels are at most 63 bytes long, or Werkzeug can't encode the name.
_LABEL = rb"[\w~!$&'()*+,;=%-]{1,63}"
_HOST = re.compile(rb"(?:%b(?:\.%b)*\.?|\[[0-9A-Fa-f:.]+\])?(?::[0-9]{0,5})?" % (_LABEL, _LABEL), re.ASCII)
_ABSOLUTE = re.compile(rb"https?://([^/?#]+)(.*)", re.IGNORECASE)
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

_names: dict[bytes, bytes] = {}
_NAMES_KEPT = 1000

known_lines: dict[bytes, Field] = {}
"""What `read_line` remembers; to look here first saves a call for each line."""
_LINES_KEPT = 512
_LONGEST_KEPT = 256
_REPEATED = frozenset(
    (
        b"host",
        b"user-agent",
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"connection",
        b"content-type",
        b"mcp-protocol-version",
        b"mcp-method",
    )
)


def read_line(line: bytes) -> Field | None:
    """Read a header.

    Args:
        line: The whole line; of a folded one, all its lines.

    Returns:
        The name in lower case and the value, or None if it is not well-formed.
    """
    name, colon, value = line.partition(b":")
    known = _names.get(name) or field_name(name)
    value = value.strip(b" \t")
    # RFC 9110, 5.5: "Field values containing CR, LF, or NUL characters are invalid and dangerous"
    if not colon or known is None or len(value.translate(None, b"\x00\r\n")) != len(value):
        return None
    if known in _REPEATED and len(line) <= _LONGEST_KEPT:
        if len(known_lines) >= _LINES_KEPT:
            known_lines.clear()
        known_lines[line] = (known, value)
    return known, value


def field_name(name: bytes) -> bytes | None:
    """Return a header name in lower case, or None if it is not a token.

    Spec: RFC 9110, 5.1 "Field names are case-insensitive"; RFC 9112, 5.1: no whitespace between name and colon.
    """
    if not _TOKEN.fullmatch(name):
        return None
    known = name.lower()
    if len(_names) < _NAMES_KEPT:
        _names[name] = known
    return known


def is_host(value: bytes) -> bool:
    """Tell whether this can be the value of a Host header."""
    return _HOST.fullmatch(value) is not None


def split_target(target: bytes) -> tuple[bytes, bytes] | None:
    """Read a request target in absolute form.

    Returns:
        Its authority and its path, or None if it is none.

    Spec: RFC 9112, 3.2.2: "a server MUST accept the absolute-form in requests".
    """
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or not is_host(absolute[1]):
        return None
    return absolute[1], absolute[2] if absolute[2][:1] == b"/" else b"/" + absolute[2]
