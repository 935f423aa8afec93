"""What must never stand in a log, whatever text it comes in: the text of an exception, a line of a traceback.

We do not log credentials; what others raise may hold them, as an HTTP client that names the URL it could not reach. It
may hold what a stranger has sent, too, as the text of a KeyError does: so it is looked at in a single pass, whatever is
in it, and cut in the middle if it is too long.
"""

from __future__ import annotations

import re

MOST = 64 * 1024
"""Characters of a text, at the most."""

_GONE = "[redacted]"

_SECRETS = (
    # our API keys: their public id says which one it was
    (re.compile(r"\b(mcps_[0-9a-z]{10}_)[0-9A-Za-z]{8,}"), r"\1" + _GONE),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w~+/.=-]{4,}"), r"\1 " + _GONE),
    (re.compile(r"(?i)\b((?:x-api-key|cookie)['\"]?\s*[:=]\s*)\S+"), r"\1" + _GONE),
    (
        re.compile(r"(?i)\b((?:\w+_)?(?:token|secret|password|passwd|api_?key)['\"]?\s*[=:]\s*['\"]?)[^\s&'\",;)]+"),
        r"\1" + _GONE,
    ),
    (re.compile(r"(://)[^\s/@:]+:[^\s/@]+@"), r"\1" + _GONE + "@"),
)
_DOTTED = re.compile(r"(?<![\w-])[\w-]++(?:\.[\w-]*+){2,}+")
"""Where a JWT may be; each of these begins where none before it has looked."""

_LOOKS = re.compile(r"(?i)mcps_|eyJ|bearer|basic|api-?_?key|cookie|token|secret|passw|://")


def redacted(text: str) -> str:
    """The text without what looks like a credential."""
    if len(text) > MOST:
        text = _cut(text)
    if _LOOKS.search(text) is None:
        return text
    text = _DOTTED.sub(_without_jwt, text)
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def _without_jwt(match: re.Match[str]) -> str:
    before, found, _ = match[0].partition("eyJ")
    return before + _GONE if found else match[0]


def _cut(text: str) -> str:
    """The beginning and the end. The end begins with a line, as half of a credential does not look like one."""
    half = MOST // 2
    head, tail = text[:half], text[100 - half :].partition("\n")[2]
    return f"{head} ... ({len(text) - len(head) - len(tail)} characters) ...\n{tail}"
