"""Places: in total, of one party, and each given back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.errors import Busy
from mcpserve.policy.capacity import Places


def test_in_total() -> None:
    """503 when all are taken, with the setting and when to come again."""
    places = Places("calls", "max_calls", 2)
    places.take("a")
    places.take("a")
    with pytest.raises(Busy, match=r"busy with 2 calls \(max_calls\)") as caught:
        places.take("b")
    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "2"})
    places.give_back("a")
    places.take("b")


def test_of_one_party() -> None:
    """429 for who has its share; the others do not notice."""
    places = Places("calls", "max_calls", 10, 2)
    places.take("a")
    places.take("a")
    with pytest.raises(Busy, match=r"You have 2 calls at once.*max_calls_of_caller") as caught:
        places.take("a")
    assert caught.value.status == 429
    for _ in range(2):
        places.take("b")


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans())))
def test_what_is_taken_is_given_back(steps: list[tuple[str, bool]]) -> None:
    """The counts are those of a plain list, and nothing is left when all have gone."""
    places, inside = Places("calls", "max_calls", 5, 2), list[str]()
    for party, comes in steps:
        if not comes:
            if party in inside:
                inside.remove(party)
                places.give_back(party)
            continue
        room = len(inside) < 5 and inside.count(party) < 2
        assert places.room(party) == (inside.count(party) < 2)
        if room:
            places.take(party)
            inside.append(party)
        else:
            with pytest.raises(Busy):
                places.take(party)
    assert places.taken == len(inside)
    for party in inside:
        places.give_back(party)
    assert (places.taken, len(places)) == (0, 0)
