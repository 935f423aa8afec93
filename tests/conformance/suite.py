"""Running the official conformance suite: one leg, one requirement set, in a process of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.conformance.verdict import Scenario, read_scenarios
from tests.interop.peers import node_binary, node_modules

RUN_SECONDS = 300.0


def run_suite(leg: Sequence[str], revision: str, scratch: Path) -> list[Scenario]:
    """Run one requirement set and read its checks; the exit status says less than they do.

    Args:
        leg: The command of the suite with its options: `server --url URL` or `client --command COMMAND`.
        revision: The requirement set.
        scratch: An empty directory for what the suite writes.

    Raises:
        AssertionError: It ran no scenario.
    """
    modules = node_modules()
    results, log = scratch / revision, scratch / f"{revision}.log"
    argv = [str(node_binary(modules)), str(modules / ".bin" / "conformance"), *leg, "--requirements", revision]
    with log.open("wb") as output:
        subprocess.run(
            [*argv, "-o", str(results)],
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=RUN_SECONDS,
            check=False,
        )
    scenarios = read_scenarios(results)
    if not scenarios:
        raise AssertionError(f"the suite ran no scenario:\n{log.read_text()[-4000:]}")
    return scenarios
