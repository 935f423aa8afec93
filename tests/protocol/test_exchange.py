"""The exchange: never a second reply, never a notice after it, and an owner who is told once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mcpserve.errors import InvalidParams, MethodNotFound, UnknownResource
from mcpserve.protocol.exchange import Exchange, State
from mcpserve.protocol.inputs import InputRequest
from mcpserve.protocol.jsonrpc import Request, Response
from mcpserve.protocol.revisions import V2025_11_25, V2026_07_28
from tests.recording import RecordingCarrier, RecordingOwner, exchange_of

FINAL = {State.REPLIED, State.WITHDRAWN, State.LOST}


class Exchanges(RuleBasedStateMachine):
    """Says anything at any time, and compares with the table in the module."""

    def __init__(self) -> None:
        super().__init__()
        self.carrier = RecordingCarrier()
        self.owner = RecordingOwner()
        self.exchange = Exchange(Request("r", "m", {}), V2026_07_28, self.carrier)
        self.exchange.owner = self.owner
        self.model = State.OPEN
        self.notices = 0

    def _end(self, state: State) -> None:
        if self.model not in FINAL:
            self.model = state

    @rule(replaceable=st.booleans())
    def notify(self, replaceable: bool) -> None:
        """Say something."""
        if self.model not in FINAL:
            self.model = State.STREAMING
            self.notices += 1
        self.exchange.notify(b"{}", replaceable)

    @rule()
    def succeed(self) -> None:
        """Reply."""
        self._end(State.REPLIED)
        self.exchange.succeed({})

    @rule()
    def fail(self) -> None:
        """Reply with an error."""
        self._end(State.REPLIED)
        self.exchange.fail(InvalidParams("no"))

    @rule()
    def withdraw(self) -> None:
        """The client cancels."""
        self._end(State.WITHDRAWN)
        self.exchange.withdraw()

    @rule(how=st.sampled_from(["lost", "overrun"]))
    def lose(self, how: str) -> None:
        """The connection goes, or is cut."""
        self._end(State.LOST)
        getattr(self.exchange, how)()

    @rule(how=st.sampled_from(["pause", "resume"]))
    def flow(self, how: str) -> None:
        """The reader is behind, or not any more."""
        told = len(self.owner.told)
        getattr(self.exchange, how)()
        assert len(self.owner.told) == told + (self.model not in FINAL)

    @invariant()
    def keeps_to_the_table(self) -> None:
        """State, messages and what the owner heard follow from what was done."""
        assert self.exchange.state is self.model
        assert self.exchange.live is (self.model not in FINAL)
        assert len(self.carrier.notices) == self.notices
        assert len(self.carrier.replies) == (self.model is State.REPLIED)
        assert self.carrier.ended == (self.model is State.WITHDRAWN)
        ends = [word for word in self.owner.told if word in ("lost", "withdrawn", "overrun")]
        assert len(ends) == (self.model in (State.LOST, State.WITHDRAWN))


TestExchanges = Exchanges.TestCase
TestExchanges.settings = settings(max_examples=40, stateful_step_count=15)


def test_nobody_need_own_it() -> None:
    """An exchange without owner goes through the same states."""
    for end in ("lost", "overrun", "withdraw"):
        exchange, _ = exchange_of("m")
        exchange.pause()
        exchange.resume()
        getattr(exchange, end)()
        assert not exchange.live


def test_the_status_depends_on_the_era() -> None:
    """An unknown method is 404 in 2026-07-28, and an ordinary answer before."""
    seen: list[Any] = []
    for revision in (V2026_07_28, V2025_11_25):
        exchange, carrier = exchange_of("m", revision=revision)
        exchange.fail(MethodNotFound("m"))
        seen.append((carrier.statuses, carrier.replies[0]["error"]["code"]))
    assert seen == [([404], -32601), ([200], -32601)]


def test_what_can_not_be_encoded_is_no_reply() -> None:
    """A result that has no JSON form leaves the exchange open, for another reply."""
    exchange, carrier = exchange_of("m")
    try:
        exchange.succeed({"a": object()})
    except TypeError:
        exchange.succeed({"a": 1})
    assert [reply["result"] for reply in carrier.replies] == [{"a": 1}]


def test_replaceable_is_passed_on() -> None:
    """The carrier learns which notices a newer one may replace."""
    exchange, carrier = exchange_of("m")
    exchange.notify(b"{}")
    exchange.notify(b"{}", True)
    assert carrier.replaceable == [False, True]


def test_a_question_that_ends_it() -> None:
    """A carrier that finds the question too much ends the exchange; it does not come back to life."""
    exchange, carrier = exchange_of("m")

    class Full:
        """Takes no more."""

        def ask(self, question: InputRequest, answered: Callable[[Response], object]) -> Callable[[bool], object]:
            exchange.overrun()
            return lambda live: None

        def __getattr__(self, name: str) -> Any:
            return getattr(carrier, name)

    exchange.carrier = Full()
    exchange.ask(InputRequest(key="roots", method="roots/list", params=None, needs=("roots",)), lambda response: None)
    exchange.notify(b"{}")
    exchange.succeed({})
    assert exchange.state is State.LOST
    assert (carrier.notices, carrier.replies) == ([], [])


def test_a_code_that_was_another_before() -> None:
    """A resource that is not there: -32602 in the modern revision, -32002 in those before; the URI in both."""
    for revision, code in ((V2026_07_28, -32602), (V2025_11_25, -32002)):
        exchange, carrier = exchange_of("m", revision=revision)
        exchange.fail(UnknownResource("x://y"))
        assert carrier.replies[0]["error"] == {"code": code, "message": "Resource not found", "data": {"uri": "x://y"}}
        assert carrier.statuses == [200]
