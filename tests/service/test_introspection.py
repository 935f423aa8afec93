"""Introspection: an issuer is asked about tokens, no more often than needed, and believed as far as its answer goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from mcpserve.errors import IssuerUnavailable, ScopeMissing, Unproven
from mcpserve.policy.callers import Caller
from mcpserve.policy.tokens import TokenRules
from mcpserve.service.introspection import MOST_QUESTIONS, MOST_WAITING, OF_ADDRESS, Endpoint, IntrospectedTokens
from tests.service.authority import RESOURCE, Authority, FakeFetcher

ISSUER = "http://127.0.0.1:9000"
GOOD = {"active": True, "sub": "ada", "aud": RESOURCE, "scope": "read"}


class World:
    """An authority that is asked."""

    def __init__(self, *, ttl: float = 30.0, secret: str = "s3cret/+", remembered: int = 1024) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000.0)
        self.authority = Authority(active={"good": GOOD})
        self.fetcher = FakeFetcher(self.authority)
        endpoint = Endpoint(url=f"{ISSUER}/introspect", issuer=ISSUER, client="mcp", secret=secret, ttl=ttl)
        rules = TokenRules(audiences=frozenset({RESOURCE}), scopes=("read",))
        self.tokens = IntrospectedTokens(endpoint, rules, self.clock, self.fetcher, remembered=remembered)

    def verify(self, token: str) -> Any:
        """The caller; an exception if the token is refused; None if it waits."""
        found = self.tokens.verify(token.encode("latin-1"))
        if not isinstance(found, Deferred):
            return found
        outcome: list[Any] = []
        found.addBoth(outcome.append)
        if outcome and not isinstance(outcome[0], Caller):
            outcome[0].raiseException()
        return outcome[0] if outcome else None

    @property
    def questions(self) -> int:
        """How often it was asked."""
        return len(self.authority.asked)


@pytest.fixture
def lines() -> Iterator[list[LogEvent]]:
    """What is logged."""
    seen: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_namespace", "") == "mcpserve.service.introspection":
            seen.append(event)

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def test_an_active_token() -> None:
    """It names its subject; the answer is remembered for a while."""
    world = World()
    ada = Caller(name=f"{ISSUER}|ada", scopes=frozenset({"read"}))
    assert world.verify("good") == ada
    assert world.verify("good") == ada
    assert world.questions == 1
    world.clock.advance(30)
    assert world.verify("good") == ada
    assert world.questions == 2


def test_a_token_that_was_revoked() -> None:
    """It is refused when the answer is not remembered any more."""
    world = World()
    world.verify("good")
    world.authority.active.clear()
    world.clock.advance(30)
    with pytest.raises(Unproven, match="says that the token is not active"):
        world.verify("good")


def test_nothing_is_remembered() -> None:
    """With a time of 0."""
    world = World(ttl=0.0)
    world.verify("good")
    world.verify("good")
    assert world.questions == 2


def test_an_answer_holds_no_longer_than_the_token() -> None:
    """It says when that ends."""
    world = World()
    world.authority.active["good"] = {**GOOD, "exp": 1_000_000 - 20}
    world.verify("good")
    world.clock.advance(10)
    with pytest.raises(Unproven, match="expired"):
        world.verify("good")


@pytest.mark.parametrize(
    "answer",
    [
        {"active": False},
        {"active": "true", **{k: v for k, v in GOOD.items() if k != "active"}},
        {**GOOD, "active": 1},
        {k: v for k, v in GOOD.items() if k != "active"},
        {**GOOD, "aud": "https://else.example"},
        {k: v for k, v in GOOD.items() if k != "aud"},
        {k: v for k, v in GOOD.items() if k != "sub"},
        {**GOOD, "iss": "https://else.example"},
        {**GOOD, "nbf": 2_000_000},
        {**GOOD, "cnf": {}},
    ],
)
def test_answers_that_are_no_yes(answer: Any) -> None:
    """Refused; and remembered, so that the issuer is not asked again at once."""
    world = World()
    world.authority.active["odd"] = answer
    for _ in range(3):
        with pytest.raises(Unproven):
            world.verify("odd")
    assert world.questions == 1


def test_a_scope_that_is_missing() -> None:
    """It stays what it is when it is remembered."""
    world = World()
    world.authority.active["narrow"] = {**GOOD, "scope": "write"}
    for _ in range(2):
        with pytest.raises(ScopeMissing) as caught:
            world.verify("narrow")
        assert caught.value.needed == ("read",)


def test_one_question_for_one_token() -> None:
    """However many requests come with it meanwhile."""
    world = World()
    world.fetcher.waits = True
    names: list[Any] = []
    for _ in range(5):
        found = world.tokens.verify(b"good")
        assert isinstance(found, Deferred)
        found.addCallback(lambda caller: names.append(caller.name))
    assert world.questions == 1
    world.fetcher.answer()
    assert len(names) == 5


def test_too_many_questions() -> None:
    """A flood of made-up tokens is not passed on to the issuer; those that are known go on."""
    world = World()
    world.verify("good")
    world.fetcher.waits = True
    waiting = [world.tokens.verify(b"t%d" % number, f"{number % 10}") for number in range(MOST_QUESTIONS)]
    with pytest.raises(IssuerUnavailable, match="too many"):
        world.verify("one-more")
    assert world.verify("good").name == f"{ISSUER}|ada"
    for found in waiting:
        assert isinstance(found, Deferred)
        found.addErrback(lambda failure: failure.trap(Unproven))
    world.fetcher.answer()
    assert world.questions == MOST_QUESTIONS + 1


def test_too_many_questions_of_one_address() -> None:
    """It keeps nobody else from being asked about; and may ask again when it has been answered."""
    world = World()
    world.fetcher.waits = True
    waiting = [world.tokens.verify(b"t%d" % number, "192.0.2.1") for number in range(OF_ADDRESS)]
    with pytest.raises(IssuerUnavailable, match="too many"):
        world.tokens.verify(b"one-more", "192.0.2.1")
    waiting.append(world.tokens.verify(b"one-more", "192.0.2.2"))
    for found in waiting:
        assert isinstance(found, Deferred)
        found.addErrback(lambda failure: failure.trap(Unproven))
    world.fetcher.answer()
    assert isinstance(world.tokens.verify(b"good", "192.0.2.1"), Deferred)


def test_too_many_wait_for_one_answer() -> None:
    """Each of them holds a request."""
    world = World()
    world.fetcher.waits = True
    waiting = [world.tokens.verify(b"good") for _ in range(MOST_WAITING)]
    with pytest.raises(IssuerUnavailable, match="too many"):
        world.verify("good")
    world.fetcher.answer()
    assert len(waiting) == MOST_WAITING


def test_an_issuer_that_is_away(lines: list[LogEvent]) -> None:
    """Nobody can say: that is no 401, and not remembered. The log says why, once in a while; strangers are not told."""
    world = World()
    world.authority.down = True
    for seconds in (0, 59, 1):
        world.clock.advance(seconds)
        with pytest.raises(IssuerUnavailable, match="can't be asked about tokens now") as caught:
            world.verify("good")
        assert "/introspect" not in str(caught.value)
    assert [f"{ISSUER}/introspect" in line["problem"] for line in lines] == [True, True]
    world.authority.down = False
    assert world.verify("good")


def test_a_wrong_secret() -> None:
    """It is our fault, and not the token's."""
    world = World(secret="wrong")
    with pytest.raises(IssuerUnavailable, match="can't be asked"):
        world.verify("good")


@pytest.mark.parametrize("token", ["", "a b", "a&token=b", "ä", "a\n", "a=b"])
def test_what_no_token_looks_like(token: str) -> None:
    """It is not passed on."""
    world = World()
    with pytest.raises(Unproven):
        world.verify(token)
    assert world.questions == 0


def test_what_is_remembered_is_bounded() -> None:
    """Bad tokens do not push good ones out."""
    world = World(remembered=3)
    world.verify("good")
    for number in range(10):
        with pytest.raises(Unproven):
            world.verify(f"bad-{number}")
    before = world.questions
    assert world.verify("good")
    assert world.questions == before


def test_the_secret_is_in_no_repr() -> None:
    """Nor is the header that holds it."""
    endpoint = Endpoint(url="u", issuer="i", client="mcp", secret="s3cret")
    assert "s3cret" not in repr(endpoint)
