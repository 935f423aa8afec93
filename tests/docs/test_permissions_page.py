"""What the page on permissions says of its example is so."""

from __future__ import annotations

import re
from pathlib import Path

from mcpserve.policy.access import Verdict
from mcpserve.policy.callers import Caller
from mcpserve.server.permits import Permits
from mcpserve.service.permissions import explain, find_things, told
from mcpserve.service.plugins import load
from mcpserve.service.settings import Settings, read_file

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "permissions.md").read_text(encoding="utf-8")
SETTINGS = Settings(**read_file(ROOT / "docs" / "examples" / "permissions.toml"))
WORDS = {Verdict.ALLOWED: "yes", Verdict.UNKNOWN: "no", Verdict.STEP_UP: "scopes"}


def test_the_table() -> None:
    """Each cell is the decision that the server makes."""
    head, _, *rows = [
        [cell.strip(" `") for cell in row.split("|")[1:-1]] for row in re.findall(r"^\|.*\|$", PAGE, re.MULTILINE)
    ]
    assert len(rows) == 7
    permits, catalogs = Permits(SETTINGS.access), load(SETTINGS)
    for thing, *cells in rows:
        (found,) = find_things(catalogs, thing)
        for group, cell in zip(head[1:], cells, strict=True):
            caller = Caller(name="ada", groups=frozenset({group}))
            assert WORDS[explain(permits, found, caller).verdict] == cell, (thing, group)


def test_the_explanation() -> None:
    """The output that the page shows is what is printed."""
    (found,) = find_things(load(SETTINGS), "bake")
    caller = Caller(name="ada", groups=frozenset({"bakers"}))
    lines = told(explain(Permits(SETTINGS.access), found, caller), found, "ada (key k3v9x0q2ma)")
    assert "".join(f"    {line}\n" for line in lines) in PAGE
