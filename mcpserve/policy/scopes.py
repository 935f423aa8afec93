"""Scopes, and which of them include others.

Spec: 2026-07-28, Authorization, Step-Up Authorization Flow: "Servers MUST account for scope hierarchies, where a
broader scope implies narrower ones, when deciding whether a token is sufficient for an operation."
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import attrs

from mcpserve.errors import ConfigurationError

SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""RFC 6749, 3.3: what a scope may consist of. It can stand in a quoted string as it is."""


@attrs.frozen
class Inclusion:
    """Which scopes include which; one that includes another also has what that includes.

    Args:
        narrower: The scopes that a scope includes.
    """

    narrower: Mapping[str, frozenset[str]] = attrs.field(factory=dict)

    def expand(self, scopes: Iterable[str]) -> frozenset[str]:
        """These scopes, and all that they include."""
        found: set[str] = set()
        waiting = list(scopes)
        while waiting:
            scope = waiting.pop()
            if scope not in found:
                found.add(scope)
                waiting += self.narrower.get(scope, ())
        return frozenset(found)


FLAT = Inclusion()
"""No scope includes another."""


def read_inclusion(lines: Sequence[str]) -> Inclusion:
    """Read the setting `scope_includes`.

    Args:
        lines: Each of the form `admin=read write`.

    Raises:
        ConfigurationError: One has another form.
    """
    narrower: dict[str, frozenset[str]] = {}
    for line in lines:
        # only the broader one can't have "=" in it
        broader, found, rest = line.partition("=")
        included = rest.split()
        if not (found and included and all(map(SCOPE.fullmatch, [broader, *included]))):
            raise ConfigurationError(f"scope_includes: {line!r} must be a scope, =, and scopes, as in admin=read write")
        narrower[broader] = narrower.get(broader, frozenset()) | frozenset(included)
    return Inclusion(narrower)
