"""The client under test: `python -m tests.conformance.client URL` carries out one scenario of the conformance suite.

The suite names it in `MCP_CONFORMANCE_SCENARIO`, and gives its data in `MCP_CONFORMANCE_CONTEXT`. What is done in each
stands in `plays.py`.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

SCENARIOS = frozenset(
    {
        "elicitation-sep1034-client-defaults",
        "http-custom-headers",
        "http-invalid-tool-headers",
        "http-standard-headers",
        "initialize",
        "json-schema-2020-12-preservation",
        "json-schema-ref-no-deref",
        "request-metadata",
        "sep-2322-client-request-state",
        "sse-retry",
        "tools_call",
    }
)
"""Those that something is done for. The suite starts all at once, so who has nothing to do loads nothing."""

NO_SUCH_SCENARIO = 64
CARRIED_OUT = "The scenario was carried out."
"""The last line of who came to the end: the suite does not tell with what status its clients exit."""


def main() -> None:
    """Carry the scenario out; the exit status is not 0 if there is none of this name, or if it failed."""
    name = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
    if name not in SCENARIOS:
        print(f"Nothing is done for the scenario {name!r}", file=sys.stderr)
        raise SystemExit(NO_SUCH_SCENARIO)
    given = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    import_module("tests.conformance.plays").carry_out(name, sys.argv[-1], given)


if __name__ == "__main__":
    main()
