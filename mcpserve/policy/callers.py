"""Who is calling: the one value that says it, from the door to the tool."""

from __future__ import annotations

import attrs

from mcpserve.policy.proxies import group


@attrs.frozen(kw_only=True)
class Caller:
    """Who is calling.

    Args:
        name: Names the party that was authenticated; what belongs to one name is nobody else's. None for somebody who
            was not asked to say so.
        groups: The groups that the operator put this party into.
        scopes: What its access token allows.
        address: The address that the request came from, for limits and logs; no part of who it is. None if unknown.
        credential: The public id of the key that was shown, by which what runs is found when it is revoked; no part of
            who it is. None for other credentials.
    """

    name: str | None = None
    groups: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    address: str | None = attrs.field(default=None, eq=False)
    credential: str | None = attrs.field(default=None, eq=False)

    @property
    def party(self) -> str:
        """Whom limits count this as: somebody with a name by that, others by the address that they come from."""
        return self.name if self.name is not None else f"@{group(self.address)}"


ANONYMOUS = Caller()
