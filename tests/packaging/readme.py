"""The commands of README.md that CI runs exactly as they are written: `python3 tests/packaging/readme.py test`.

Each is a fenced block right after an HTML comment such as `<!-- ci: start -->`. This needs only the standard library.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"

BLOCK = re.compile(r"<!-- ci: (?P<name>[a-z]+) -->\s*```[a-z]*\n(?P<command>.*?)\n```", re.DOTALL)


def commands(text: str) -> dict[str, str]:
    """The marked commands of a page, by name."""
    return {match["name"]: match["command"] for match in BLOCK.finditer(text)}


def command(name: str) -> str:
    """The README's command of this name.

    Raises:
        KeyError: The README marks no such command.
    """
    return commands(README.read_text(encoding="utf-8"))[name]


if __name__ == "__main__":
    print(command(sys.argv[1]))
