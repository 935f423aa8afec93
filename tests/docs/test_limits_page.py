"""The page of limits: one table, with every limit that there is, and the default that it has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs

from mcpserve.legacy.batches import MOST_ELEMENTS
from mcpserve.legacy.handshake import MOST_DETAILS
from mcpserve.legacy.session import SessionLimits
from mcpserve.policy.proxies import MOST_HOPS
from mcpserve.policy.rates import MOST
from mcpserve.protocol.jsonrpc import MOST_LEVELS
from mcpserve.service.bounds import SHARE
from mcpserve.service.settings import Settings
from mcpserve.web.crowd import REFUSED
from mcpserve.web.site import CROWDED

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "limits.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (?!\*\*)(.+?) \| (?:`(\w+)`)? ?\| `?([^|`]+)`? \| (.+) \|$", re.MULTILINE)

NO_LIMITS = {
    "drain", "page_size", "keep_alive", "task_poll", "token_leeway", "issuer_refresh", "issuer_outage",
    "introspection_ttl", "drain_delay", "blocked_after",
}  # fmt: skip
"""Numbers that bound nothing of what a stranger asks for."""

FIXED = {
    "answered refusals of those two at once": REFUSED,
    "nesting of the JSON": MOST_LEVELS,
    "elements of a batch (2025-03-26)": MOST_ELEMENTS,
    "what a client says about itself in `initialize`": MOST_DETAILS,
    "proxies that a request says it came through": MOST_HOPS,
    "streams of one session": SessionLimits().streams,
}


def rows() -> list[tuple[str, str, str]]:
    """Each limit with its setting and its default."""
    table = PAGE.partition("\n## All limits\n")[2].partition("\n## ")[0]
    found = [(what, setting, default) for what, setting, default, _ in ROW.findall(table)]
    return [row for row in found if row[0] not in ("limit", "---")]


def is_number(value: Any) -> bool:
    """Whether this is a number that could be a limit."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def test_every_setting_that_is_a_limit_is_there() -> None:
    """With its default, and nothing else."""
    fields = {field.name: field.default for field in attrs.fields(Settings)}
    numbers = {name for name, default in fields.items() if is_number(default)} - NO_LIMITS
    listed = {setting: default for _, setting, default in rows() if setting}
    assert set(listed) - numbers == {"rate_per_address", "rate_per_caller", "tool_rates"}
    assert numbers - set(listed) == set()
    for name, default in listed.items():
        assert default == (str(fields[name]) if fields[name] not in ("", ()) else "none"), name


def test_fixed_limits_are_as_they_are_said() -> None:
    """Those without a setting."""
    listed = {what: default for what, setting, default in rows() if not setting}
    assert listed == {what: str(number) for what, number in FIXED.items()}


def test_numbers_in_the_text() -> None:
    """They are those of the code."""
    assert SHARE == 10
    assert "is a tenth of what there is for all" in PAGE
    assert f"{MOST:,} addresses are remembered" in PAGE
    assert f"after {CROWDED:g} s when 90 %" in PAGE
