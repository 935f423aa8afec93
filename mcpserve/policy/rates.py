"""How often? Token buckets, as numbers: no clock, no timer, nothing that has to be cleaned up.

A bucket holds `burst` tokens and gets one back each `interval` seconds; who takes one may go on. It is kept as the one
time at which it will be full again (the generic cell rate algorithm), so that taking is an addition and a comparison in
one turn of the reactor: exact, however many ask at once. A bucket that is full again is like one that never was, and is
forgotten.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import attrs

from mcpserve.errors import Busy, ConfigurationError

_UNITS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86_400.0}
_MICRO = 1_000_000
_RATE = re.compile(r"([1-9][0-9]{0,8})\s*/\s*(second|minute|hour|day)(?:\s+burst\s+([1-9][0-9]{0,8}))?(\s+each)?")
_FORM = "such as 10/minute, or 100/second burst 200"

MOST = 100_000
"""Buckets of one kind at once. A stranger who has more addresses than this has more tokens, too."""


@attrs.frozen
class Rate:
    """So many in so many seconds.

    Args:
        count: How many.
        unit: In a "second", "minute", "hour" or "day".
        burst: How many at once, after a rest.
        each: Whether each party has so many, and not all together; of rates that can be either.
    """

    count: int
    unit: str
    burst: int
    each: bool = False

    @property
    def interval(self) -> float:
        """Seconds in which one token comes back."""
        return _UNITS[self.unit] / self.count

    def __str__(self) -> str:
        more = "" if self.burst == self.count else f" burst {self.burst}"
        return f"{self.count}/{self.unit}{more}{' each' if self.each else ''}"


def read_rate(text: str, *, each: bool = False) -> Rate:
    """Read a rate: `10/minute`, `100/second burst 200`.

    Args:
        text: The rate.
        each: Whether it may end with `each`.

    Raises:
        ConfigurationError: It is none.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None or (match[4] and not each):
        raise ConfigurationError(f"{text!r} is no rate; a rate is {_FORM}{', or 10/minute each' if each else ''}")
    count = int(match[1])
    return Rate(count, match[2], int(match[3] or count), bool(match[4]))


class Buckets:
    """The token buckets of one rate, by key.

    Args:
        rate: The rate.
        most: Buckets at once; beyond it the one that was used longest ago is forgotten, as if it were full.
    """

    def __init__(self, rate: Rate, most: int = MOST) -> None:
        self.rate = rate
        # Microseconds times `count`: in these units all is a whole number, and no sum is ever rounded.
        self._interval = round(_UNITS[rate.unit] * _MICRO)
        self._depth = self._interval * rate.burst
        self._most = most
        self._full_at: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str, now: float) -> float:
        """Take a token.

        Args:
            key: Whose bucket it is.
            now: The time in seconds, of a clock that does not go back.

        Returns:
            0.0 if there was one; else the seconds until there will be one. Then none was taken.
        """
        buckets, count = self._full_at, self.rate.count
        units = int(now * _MICRO) * count
        full_at = max(buckets.get(key, 0), units)
        if full_at > units + self._depth:
            # the clock was set back; a bucket is never emptier than empty
            full_at = buckets[key] = units + self._depth
        full_at += self._interval
        wait = full_at - self._depth - units
        if wait > 0:
            return wait / count / _MICRO
        buckets[key] = full_at
        buckets.move_to_end(key)
        self._forget(units)
        return 0.0

    def give_back(self, key: str) -> None:
        """Put a token back: what it was taken for was refused for another reason."""
        if key in self._full_at:
            self._full_at[key] -= self._interval

    def _forget(self, now: int) -> None:
        """Look at the two that were used longest ago: those that are full go faster than new ones come."""
        buckets = self._full_at
        for _ in range(2):
            oldest = next(iter(buckets))
            if len(buckets) > self._most or buckets[oldest] <= now:
                del buckets[oldest]
                if not buckets:
                    break
            else:
                break


class Rates:
    """How often a party may ask, and by which settings that is so.

    Args:
        address: Requests of one address (of one /64 in IPv6).
        caller: Requests of one caller who has a name.
    """

    def __init__(self, address: Rate | None = None, caller: Rate | None = None) -> None:
        self._address = None if address is None else Buckets(address)
        self._caller = None if caller is None else Buckets(caller)

    def __bool__(self) -> bool:
        return self._address is not None or self._caller is not None

    def take_by_address(self, group: str, now: float) -> None:
        """One more request of this address.

        Args:
            group: The address or network; see `policy.proxies.group`.
            now: The time.

        Raises:
            Busy: 429, there were too many.
        """
        if self._address is not None:
            _take(self._address, group, now, f"Too many requests from {group}", "rate_per_address")

    def take_by_caller(self, name: str | None, now: float) -> None:
        """One more request of this caller; those without a name are counted by address alone.

        Raises:
            Busy: 429, there were too many.
        """
        if self._caller is not None and name is not None:
            _take(self._caller, name, now, "Too many requests of this caller", "rate_per_caller")


class ToolRates:
    """How often tools may be called.

    Args:
        rates: By name of the tool; in total, or for each party.
    """

    def __init__(self, rates: Mapping[str, Sequence[Rate]]) -> None:
        self._buckets = {name: [Buckets(rate) for rate in of_tool] for name, of_tool in rates.items()}

    def take(self, tool: str, party: str, now: float) -> None:
        """One more call of this tool.

        Args:
            tool: Its name.
            party: Who calls: the name of a caller, or else the address.
            now: The time.

        Raises:
            Busy: 429, there were too many.
        """
        if tool not in self._buckets:
            return
        taken: list[tuple[Buckets, str]] = []
        try:
            for buckets in self._buckets[tool]:
                key = party if buckets.rate.each else ""
                _take(buckets, key, now, f"Too many calls of {tool}", "tool_rates")
                taken.append((buckets, key))
        except Busy:
            for buckets, key in taken:
                buckets.give_back(key)
            raise


def read_tool_rates(texts: Sequence[str]) -> dict[str, list[Rate]]:
    """Read rates of tools: `stretch=10/minute`, `stretch=2/minute each`.

    Raises:
        ConfigurationError: One is none.
    """
    rates: dict[str, list[Rate]] = {}
    for text in texts:
        name, equals, rate = text.rpartition("=")
        if not (name.strip() and equals):
            raise ConfigurationError(f"{text!r} is no rate of a tool; that is NAME=RATE, such as stretch=10/minute")
        rates.setdefault(name.strip(), []).append(read_rate(rate, each=True))
    return rates


def _take(buckets: Buckets, key: str, now: float, what: str, setting: str) -> None:
    wait = buckets.take(key, now)
    if wait:
        raise Busy(429, f"{what}: {buckets.rate} are allowed ({setting}); try again in {max(1, round(wait))} s", wait)
