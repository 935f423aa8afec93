"""What must never stand in a log, whatever text it comes in: the text of an exception, a line of a traceback.

We do not log credentials; what others raise may hold them, as an HTTP client that names the URL it could not reach.
"""

from __future__ import annotations

import re

_GONE = "[redacted]"

_SECRETS = (
    # our API keys: their public id says which one it was
    (re.compile(r"\b(mcps_[0-9a-z]{10}_)[0-9A-Za-z]{8,}"), r"\1" + _GONE),
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*"), _GONE),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w~+/.=-]{4,}"), r"\1 " + _GONE),
    (re.compile(r"(?i)\b((?:x-api-key|cookie)['\"]?\s*[:=]\s*)\S+"), r"\1" + _GONE),
    (
        re.compile(r"(?i)\b((?:\w+_)?(?:token|secret|password|passwd|api_?key)['\"]?\s*[=:]\s*['\"]?)[^\s&'\",;)]+"),
        r"\1" + _GONE,
    ),
    (re.compile(r"(://)[^\s/@:]+:[^\s/@]+@"), r"\1" + _GONE + "@"),
)
_LOOKS = re.compile(r"(?i)mcps_|eyJ|bearer|basic|api-?_?key|cookie|token|secret|passw|://")


def redacted(text: str) -> str:
    """The text without what looks like a credential."""
    if _LOOKS.search(text) is None:
        return text
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text
