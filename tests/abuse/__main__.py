"""The long form of the abuse suite: `python -m tests.abuse`; `--scale 0.05` is the size that CI takes.

Prints how a well-behaved client and the server fare before, during and after each attack. All traffic stays on the
loopback addresses of this machine. Ends with status 1 when something does not hold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.abuse.attacks import ATTACKS
from tests.abuse.limits import FLOOD, SERVED, broken
from tests.abuse.siege import Report, besiege, fortress, table


def main() -> int:
    """Attack, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.abuse", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="the size of the attacks [default: 1]")
    parser.add_argument("--only", action="append", choices=list(ATTACKS), help="an attack; repeatable")
    given = parser.parse_args()
    reports: list[Report] = []
    with tempfile.TemporaryDirectory(prefix="mcpserve-abuse-") as folder:
        for name in given.only or ATTACKS:
            with fortress(Path(folder) / f"{name}.log", *(FLOOD if name == "flood" else SERVED)) as server:
                reports.append(besiege(server, name, given.scale, Path(folder)))
            print(table(reports[-1:]).splitlines()[1], flush=True)
    print("\n" + table(reports))
    found = [f"{report.name}: {problem}" for report in reports for problem in broken(report)]
    print("\n".join(found) or f"All held: {len(reports)} attacks.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
