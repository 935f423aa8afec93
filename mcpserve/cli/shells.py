"""Shell completion as click has it, but for bash, which takes a URL for several words."""

from __future__ import annotations

import os
from collections.abc import Sequence

from click.shell_completion import BashComplete, add_completion_class, split_arg_string

_BREAKS = (":", "=")


class BashWithUrls(BashComplete):
    """Puts together what bash has taken apart at `:` and `=`."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one to be completed, and that one."""
        words, at = rejoined(split_arg_string(os.environ["COMP_WORDS"]), int(os.environ["COMP_CWORD"]))
        return words[1:at], words[at] if at < len(words) else ""


def register() -> None:
    """Let click use it."""
    add_completion_class(BashWithUrls)


def rejoined(words: Sequence[str], at: int) -> tuple[list[str], int]:
    """Words as they were typed.

    Args:
        words: The words as bash sees them.
        at: Which of them is being completed.

    Returns:
        The words, and which of those is being completed.
    """
    found: list[str] = []
    place = at
    glued = False
    for number, word in enumerate(words):
        lone = word in _BREAKS
        if found and (lone or glued):
            found[-1] += word
        else:
            found.append(word)
        glued = lone
        if number == at:
            place = len(found) - 1
    return found, place if at < len(words) else len(found)
