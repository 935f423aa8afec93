"""How much at once? Places that are taken and given back: in total, and for each party."""

from __future__ import annotations

from mcpserve.errors import Busy


class Places:
    """Places of one kind.

    Args:
        what: What takes a place, in the plural: "calls".
        setting: The setting with their number; that for each party is `{setting}_of_caller`.
        total: Places for all together.
        share: Places for each party; None for as many as there are.
    """

    def __init__(self, what: str, setting: str, total: int, share: int | None = None) -> None:
        self.what = what
        self.total = total
        self.share = total if share is None else share
        self.taken = 0
        self._setting = setting
        self._of_party: dict[str, int] = {}

    def __len__(self) -> int:
        """How many parties have a place."""
        return len(self._of_party)

    def check(self, party: str) -> None:
        """See that there is one more place for a party; none is taken.

        Raises:
            Busy: 429, this party has all of its places; 503, all are taken.
        """
        if self.taken >= self.total:
            raise Busy(503, f"This server is busy with {self.taken} {self.what} ({self._setting}); try again later", 2)
        count = self._of_party.get(party, 0)
        if count >= self.share:
            setting = f"{self._setting}_of_caller"
            raise Busy(429, f"You have {count} {self.what} at once, which is what one may have here ({setting})")

    def room(self, party: str) -> bool:
        """Tell whether there is one more place of those that this party may have."""
        return self._of_party.get(party, 0) < self.share

    def add(self, party: str) -> None:
        """Take a place, whether there is one or not: what is there already has it."""
        self._of_party[party] = self._of_party.get(party, 0) + 1
        self.taken += 1

    def take(self, party: str) -> None:
        """Take a place, to be given back once.

        Raises:
            Busy: There is none; see `check`.
        """
        self.check(party)
        self.add(party)

    def give_back(self, party: str) -> None:
        """Give one place back."""
        self.taken -= 1
        left = self._of_party[party] - 1
        if left:
            self._of_party[party] = left
        else:
            del self._of_party[party]
