"""Where a request stands in a trace: what its sender says of it, in `_meta` or in headers.

What `_meta` says wins: a proxy on the way may have changed the headers, and on stdio there are none. What is malformed
counts as not said; a trace is a service to people who look for something, and never a reason to refuse.

Spec: 2026-07-28, Overview, OpenTelemetry trace context; W3C Trace Context; W3C Baggage.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

PARENT, STATE, BAGGAGE = KEYS = "traceparent", "tracestate", "baggage"

_STATE_LENGTH = 512
_BAGGAGE_LENGTH = 8192
# W3C Trace Context, 3.2.2: later versions may say more, behind one more dash; ff is no version
_FORM = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]*)?")
_VISIBLE = re.compile(r"[ -~]+")


@attrs.frozen(kw_only=True)
class Trace:
    """A place in a trace.

    Args:
        trace_id: The trace: 32 hexadecimal digits.
        span_id: The work in it that what happens here is a part of: 16 hexadecimal digits.
        flags: Two hexadecimal digits.
        state: What systems on the way have to say of it: `tracestate`; empty if nothing.
        baggage: What the sender wants everybody on the way to know: `baggage`; empty if nothing. Anybody can have
            written it.
    """

    trace_id: str
    span_id: str
    flags: str = "01"
    state: str = ""
    baggage: str = ""

    @property
    def sampled(self) -> bool:
        """Whether the sender records this trace."""
        return bool(int(self.flags, 16) & 1)

    @property
    def parent(self) -> str:
        """The value of `traceparent`."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    def headers(self) -> dict[str, str]:
        """What to send along with a request to somebody else, so that it belongs to the same trace."""
        values = {PARENT: self.parent, STATE: self.state, BAGGAGE: self.baggage}
        return {name: value for name, value in values.items() if value}


def read_trace(meta: Mapping[str, Any], headers: Mapping[str, str]) -> Trace | None:
    """The trace that a request belongs to, if it says so.

    Args:
        meta: Its `_meta`.
        headers: `traceparent`, `tracestate` and `baggage` among its headers.
    """
    for said in (meta, headers):
        parent = said.get(PARENT)
        match = _FORM.fullmatch(parent) if isinstance(parent, str) else None
        if match is not None and (match[1] != "00" or match[5] is None):
            return Trace(
                trace_id=match[2],
                span_id=match[3],
                flags=match[4],
                state=_text(said.get(STATE), _STATE_LENGTH),
                baggage=_text(said.get(BAGGAGE), _BAGGAGE_LENGTH),
            )
    return None


def _text(value: object, longest: int) -> str:
    """What is no line of visible characters could not be passed on in a header."""
    fits = isinstance(value, str) and len(value) <= longest and _VISIBLE.fullmatch(value)
    return str(value) if fits else ""
