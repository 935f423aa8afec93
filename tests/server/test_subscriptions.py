"""subscriptions/listen without any transport, and what a session hears."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from mcpserve.errors import InvalidParams, UnknownResource
from mcpserve.policy.callers import Caller
from mcpserve.protocol.exchange import Exchange, State
from mcpserve.protocol.jsonrpc import Request
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.notices import (
    FILTER_KEYS,
    PROMPTS_CHANGED,
    RESOURCES_CHANGED,
    TOOLS_CHANGED,
    FilterKey,
    resource_updated,
)
from mcpserve.protocol.revisions import LEGACY, V2025_11_25, V2026_07_28, Revision
from mcpserve.protocol.types import Implementation
from mcpserve.protocol.wire import Envelope
from mcpserve.server.dispatch import Dispatcher
from mcpserve.server.publisher import Publisher
from mcpserve.server.subscriptions import SubscriptionLimits, Subscriptions
from mcpserve.server.watching import Watch
from tests.offered import Offered
from tests.recording import RecordingCarrier

ID = "io.modelcontextprotocol/subscriptionId"
LIMITS = SubscriptionLimits()
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
EVERYTHING = {
    "toolsListChanged": True,
    "promptsListChanged": True,
    "resourcesListChanged": True,
    "resourceSubscriptions": ["a:"],
}


class Listening:
    """One listen request, and what came of it."""

    def __init__(self, exchange: Exchange, carrier: RecordingCarrier) -> None:
        self.exchange = exchange
        self.carrier = carrier

    @property
    def granted(self) -> Any:
        """The acknowledged filter; the acknowledgement comes first."""
        first = self.carrier.notices[0]
        assert first["method"] == ACKNOWLEDGED
        return first["params"]["notifications"]

    @property
    def heard(self) -> list[tuple[str, str | None]]:
        """The methods and URIs of what came after it."""
        return [(notice["method"], notice["params"].get("uri")) for notice in self.carrier.notices[1:]]


class Bench:
    """Subscriptions to what is offered."""

    def __init__(self, *offered: str, limits: SubscriptionLimits = LIMITS, **more: Any) -> None:
        self.clock = Clock()
        self.publisher = Publisher(lambda f: self.clock.callLater(0, f))
        envelope = Envelope(Implementation(name="bench", version="1"))
        self.feature = Offered(*(offered or ("tools", "prompts", "resources")))
        self.subscriptions = Subscriptions(self.publisher, envelope, [self.feature], limits, **more)
        self.dispatcher = Dispatcher([self.feature, self.subscriptions], envelope)

    def listen(self, notifications: Any = ..., id: Any = 1) -> Listening:
        """Ask to listen, by default for everything."""
        wanted = EVERYTHING if notifications is ... else notifications
        carrier = RecordingCarrier()
        request = Request(id, "subscriptions/listen", {"notifications": wanted})
        exchange = Exchange(request, V2026_07_28, carrier)
        self.dispatcher.dispatch(exchange, RequestMetadata(revision=V2026_07_28), Caller())
        return Listening(exchange, carrier)

    def tell(self, *notices: Any) -> None:
        """Publish, and let the reactor turn."""
        for notice in notices:
            self.publisher.publish(notice)
        self.clock.advance(0)

    def watch(self, revision: Revision = V2025_11_25, open: bool = True) -> tuple[Watch, list[bytes], list[bool]]:
        """The ears of a session, what it is sent, and whether it has a stream."""
        sent: list[bytes] = []
        has_stream = [open]

        def send(message: bytes) -> bool:
            if has_stream[0]:
                sent.append(message)
            return has_stream[0]

        return Watch(self.subscriptions, revision, send), sent, has_stream


# --- what is declared


@pytest.mark.parametrize(
    ("offered", "flags"),
    [
        (("tools",), {"tools": {"own": 1, "listChanged": True}}),
        (
            ("tools", "resources"),
            {"tools": {"own": 1, "listChanged": True}, "resources": {"own": 1, "listChanged": True, "subscribe": True}},
        ),
        (("completions",), {"completions": {"own": 1}}),
    ],
)
@pytest.mark.parametrize("revision", [V2026_07_28, *LEGACY.values()])
def test_what_is_declared(offered: Sequence[str], flags: Any, revision: Revision) -> None:
    """What is served says of itself that it tells of changes, in every revision; what is not served is not declared."""
    assert Bench(*offered).dispatcher.capabilities(revision) == {"logging": {}, **flags}


# --- the acknowledgement


@pytest.mark.parametrize("id", [1, 0, -5, 2**53, "1", "", 'ü"\\'])
def test_the_id_is_kept(id: Any) -> None:
    """Every message has the id of the request, as it was sent: a number stays one."""
    bench = Bench()
    listening = bench.listen(id=id)
    bench.tell(TOOLS_CHANGED, resource_updated("a:"))
    bench.subscriptions.end_all()
    ids = [notice["params"]["_meta"][ID] for notice in listening.carrier.notices]
    ids.append(listening.carrier.replies[0]["result"]["_meta"][ID])
    assert [(one, type(one)) for one in ids] == [(id, type(id))] * 4


def test_it_is_first_and_at_once() -> None:
    """It does not wait for a turn, and what was published before is behind it."""
    bench = Bench()
    bench.listen()
    bench.publisher.publish(TOOLS_CHANGED)
    late = bench.listen()
    assert [notice["method"] for notice in late.carrier.notices] == [ACKNOWLEDGED]
    bench.tell()
    assert late.heard == [("notifications/tools/list_changed", None)]


@pytest.mark.parametrize(
    ("offered", "wanted", "granted"),
    [
        ((), EVERYTHING, EVERYTHING),
        ((), {}, {}),
        ((), {"toolsListChanged": False, "nobodyKnows": {"x": 1}}, {}),
        (("tools",), EVERYTHING, {"toolsListChanged": True}),
        (("resources",), EVERYTHING, {"resourcesListChanged": True, "resourceSubscriptions": ["a:"]}),
        (("nothing",), EVERYTHING, {}),
    ],
)
def test_what_is_honoured(offered: Sequence[str], wanted: Any, granted: Any) -> None:
    """What is served of what was asked for; an empty rest is held open all the same."""
    bench = Bench(*offered)
    listening = bench.listen(wanted)
    assert listening.granted == granted
    assert listening.exchange.live
    assert len(bench.subscriptions) == 1


@pytest.mark.parametrize("wanted", [None, [], {"toolsListChanged": "yes"}, {"resourceSubscriptions": [1]}])
def test_a_bad_filter(wanted: Any) -> None:
    """It is refused as params that do not fit, before anything is said."""
    bench = Bench()
    carrier = bench.listen(wanted).carrier
    assert carrier.replies[0]["error"]["code"] == -32602
    assert (carrier.notices, carrier.statuses, len(bench.subscriptions)) == ([], [200], 0)
    assert bench.publisher.listened_to() == 0


# --- the filter


def test_each_stream_has_its_own_filter() -> None:
    """Nobody hears what they did not ask for."""
    bench = Bench()
    tools = bench.listen({"toolsListChanged": True})
    prompts = bench.listen({"promptsListChanged": True}, id="p")
    files = bench.listen({"resourceSubscriptions": ["a:", "b:"]})
    nothing = bench.listen({})
    bench.tell(TOOLS_CHANGED, PROMPTS_CHANGED, RESOURCES_CHANGED, *map(resource_updated, ["b:", "c:", "b", "a:"]))
    updated = "notifications/resources/updated"
    assert tools.heard == [("notifications/tools/list_changed", None)]
    assert prompts.heard == [("notifications/prompts/list_changed", None)]
    assert files.heard == [(updated, "b:"), (updated, "a:")]
    assert nothing.heard == []


def test_a_key_of_an_extension() -> None:
    """It decides itself who may hear of what; what it does not grant is neither acknowledged nor heard."""
    key = FilterKey(name="taskIds", capability="extensions", flag="own", many=True)
    asked: list[Any] = []

    def admit(ids: Sequence[str], metadata: RequestMetadata, caller: Caller) -> Sequence[str]:
        asked.append((ids, caller))
        if "stolen" in ids:
            raise InvalidParams("no")
        return [id for id in ids if id.startswith("mine")]

    bench = Bench("extensions", keys=[*FILTER_KEYS, key], admission={"taskIds": admit})
    assert bench.listen({"taskIds": ["mine1", "yours"]}).granted == {"taskIds": ["mine1"]}
    assert asked == [(["mine1", "yours"], Caller())]
    assert bench.listen({"taskIds": ["stolen"]}).carrier.replies[0]["error"]["message"] == "no"
    assert (len(bench.subscriptions), bench.publisher.listened_to()) == (1, 1)


# --- limits


def test_too_many_streams() -> None:
    """One more is refused with 503; when one has ended there is room again."""
    bench = Bench(limits=SubscriptionLimits(streams=2))
    first, _ = bench.listen(), bench.listen()
    refused = bench.listen().carrier
    assert (refused.statuses, refused.notices) == ([503], [])
    first.exchange.lost()
    assert bench.listen().granted == EVERYTHING


def test_too_many_uris() -> None:
    """The number of URIs of one stream is bounded."""
    bench = Bench(limits=SubscriptionLimits(named=2))
    assert bench.listen({"resourceSubscriptions": ["a:", "b:", "a:"]}).exchange.live
    assert bench.listen({"resourceSubscriptions": ["a:", "b:", "c:"]}).carrier.replies[0]["error"]["code"] == -32602


# --- a slow reader


def test_a_reader_that_is_behind() -> None:
    """It hears of each topic once when it reads on, in the order of the first; the others hear everything."""
    bench = Bench()
    slow, quick = bench.listen(), bench.listen()
    slow.exchange.pause()
    for _ in range(3):
        bench.tell(resource_updated("a:"), TOOLS_CHANGED)
    assert (slow.heard, len(quick.heard)) == ([], 6)
    slow.exchange.resume()
    assert slow.heard == [("notifications/resources/updated", "a:"), ("notifications/tools/list_changed", None)]
    bench.tell(TOOLS_CHANGED)
    assert len(slow.heard) == 3


def test_a_reader_that_falls_behind_again() -> None:
    """What does not fit waits on."""
    bench = Bench()
    slow = bench.listen()
    slow.exchange.pause()
    bench.tell(TOOLS_CHANGED, PROMPTS_CHANGED, RESOURCES_CHANGED)
    notify = slow.carrier.notify

    def narrow(message: bytes, replaceable: bool) -> None:
        notify(message, replaceable)
        slow.exchange.pause()

    slow.carrier.notify = narrow  # type: ignore[method-assign]
    for times in (1, 2, 3):
        slow.exchange.resume()
        assert len(slow.heard) == times


# --- the end


@pytest.mark.parametrize("end", ["lost", "withdraw", "overrun"])
def test_it_ends_with_its_client(end: str) -> None:
    """Nothing more is said, and nothing is left of it."""
    bench = Bench()
    listening, other = bench.listen(), bench.listen({"toolsListChanged": True})
    listening.exchange.pause()
    bench.tell(TOOLS_CHANGED)
    getattr(listening.exchange, end)()
    bench.tell(TOOLS_CHANGED)
    assert (listening.heard, listening.carrier.replies) == ([], [])
    assert len(other.heard) == 2
    assert (len(bench.subscriptions), bench.publisher.listened_to()) == (1, 1)


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged of listen streams."""
    seen: list[str] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_namespace") == "mcpserve.server.subscriptions":
            seen.append(event["log_format"])

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


@pytest.mark.parametrize(
    ("behind", "end", "reasons"),
    [
        (True, "lost", ["A listen stream was lost: its client did not read"]),
        (True, "overrun", ["A listen stream was cut: its client reads too slowly"]),
        (True, "withdraw", []),
        (False, "lost", []),
    ],
)
def test_the_reason_is_logged(lines: list[str], behind: bool, end: str, reasons: list[str]) -> None:
    """Of a stream that ended because its client did not keep up; that others come and go is nothing to tell."""
    exchange = Bench().listen().exchange
    if behind:
        exchange.pause()
    getattr(exchange, end)()
    assert lines == reasons


def test_it_ends_with_the_server() -> None:
    """Each stream gets an empty result with its id, and nothing after it; no other is opened."""
    bench = Bench()
    streams = [bench.listen(id=id) for id in (1, "x")]
    streams[0].exchange.pause()
    bench.subscriptions.end_all()
    bench.tell(TOOLS_CHANGED)
    for stream, id in zip(streams, (1, "x"), strict=True):
        assert stream.heard == []
        assert stream.exchange.state is State.REPLIED
        (reply,) = stream.carrier.replies
        server = {"name": "bench", "version": "1"}
        meta = {"io.modelcontextprotocol/serverInfo": server, ID: id}
        assert reply == {"jsonrpc": "2.0", "id": id, "result": {"resultType": "complete", "_meta": meta}}
    assert (len(bench.subscriptions), bench.publisher.listened_to()) == (0, 0)
    assert bench.listen().carrier.statuses == [503]


def test_an_ended_stream_is_gone_without_the_collector() -> None:
    """No cycle is left of it."""
    bench = Bench()

    def one() -> None:
        bench.listen().exchange.lost()

    one()
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            one()
        assert gc.collect() == 0
    finally:
        gc.enable()


# --- sessions


def test_a_session_hears_of_lists() -> None:
    """Without being asked, of those that its handshake declared; no message has an id."""
    bench = Bench("tools", "resources")
    _, sent, _ = bench.watch()
    bench.tell(TOOLS_CHANGED, PROMPTS_CHANGED, RESOURCES_CHANGED, resource_updated("a:"))
    assert sent == [TOOLS_CHANGED.plain, RESOURCES_CHANGED.plain]


def test_a_session_hears_of_the_resources_it_subscribed_to() -> None:
    """From then on, until it unsubscribes; twice is once."""
    bench = Bench()
    watch, sent, _ = bench.watch()
    _, others, _ = bench.watch()
    a, b = resource_updated("a:"), resource_updated("b:")
    for _ in range(2):
        watch.subscribe("a:")
    watch.unsubscribe("never:")
    bench.tell(a, b)
    assert sent == [a.plain]
    watch.unsubscribe("a:")
    bench.tell(a)
    assert (sent, others) == ([a.plain], [])


def test_a_resource_that_is_unknown() -> None:
    """It can't be subscribed to; one that has gone since can be unsubscribed from."""
    known = {"a:"}
    bench = Bench(knows=lambda uri, caller, revision: uri in known)
    watch, _, _ = bench.watch()
    watch.subscribe("a:")
    with pytest.raises(UnknownResource):
        watch.subscribe("b:")
    known.clear()
    watch.unsubscribe("a:")
    watch.unsubscribe("b:")
    assert not watch.uris


def test_resources_that_are_served_later() -> None:
    """They can be subscribed to; the list of prompts that the handshake did not declare is still none to hear of."""
    bench = Bench("tools")
    watch, sent, _ = bench.watch()
    assert not watch.resources
    bench.feature.names = ("tools", "prompts", "resources")
    assert watch.resources
    watch.subscribe("a:")
    bench.tell(PROMPTS_CHANGED, resource_updated("a:"))
    assert sent == [resource_updated("a:").plain]


def test_too_many_resources() -> None:
    """The number is bounded; one that is there already is no more."""
    bench = Bench(limits=SubscriptionLimits(named=2))
    watch, _, _ = bench.watch()
    for uri in ("a:", "b:", "a:"):
        watch.subscribe(uri)
    with pytest.raises(InvalidParams, match="at the most"):
        watch.subscribe("c:")
    watch.unsubscribe("a:")
    watch.subscribe("c:")
    assert list(watch.uris) == ["b:", "c:"]


def test_a_session_without_a_stream() -> None:
    """What changes waits for one, once for each topic; what was unsubscribed meanwhile does not."""
    bench = Bench()
    watch, sent, has_stream = bench.watch(open=False)
    for uri in ("a:", "b:"):
        watch.subscribe(uri)
    for _ in range(3):
        bench.tell(resource_updated("b:"), TOOLS_CHANGED, resource_updated("a:"))
    watch.unsubscribe("b:")
    assert sent == []
    has_stream[0] = True
    watch.opened()
    assert sent == [TOOLS_CHANGED.plain, resource_updated("a:").plain]
    watch.opened()
    assert len(sent) == 2


def test_a_session_that_ends() -> None:
    """Nothing is left of it, nor of what waited."""
    bench = Bench()
    watch, sent, has_stream = bench.watch(open=False)
    watch.subscribe("a:")
    bench.tell(TOOLS_CHANGED)
    has_stream[0] = True
    watch.close()
    bench.tell(TOOLS_CHANGED, resource_updated("a:"))
    watch.opened()
    assert sent == []
    assert bench.publisher.listened_to() == 0
