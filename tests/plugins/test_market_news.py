"""market_news: real documents, over a real loopback HTTP server that can also misbehave."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import Clock, LoopingCall, deferLater
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from mcpserve import PluginError, ToolError
from mcpserve.testing import ToolRunner
from plugins import market_news
from plugins.market_news import Answer, Body, Feed, FeedError, NewsItem, Newsroom, Settings, Source

RSS = b"""<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:nasdaq="http://nasdaq.com/reference/feeds/1.0">
  <channel>
    <title>Wire</title><link>http://wire.example/</link><description>News</description>
    <item>
      <guid isPermaLink="false">urn:w:1</guid>
      <title>AAPL rises on strong sales</title>
      <link>http://wire.example/1</link>
      <description><![CDATA[<p>Shares of <b>Apple</b>&nbsp;rose.</p><script>alert(1)</script>]]></description>
      <category>Markets</category>
      <nasdaq:tickers>AAPL,MSFT</nasdaq:tickers>
      <pubDate>Mon, 02 Nov 2026 10:00:00 GMT</pubDate>
    </item>
    <item>
      <guid isPermaLink="false">urn:w:2</guid>
      <title>Bonds fall</title>
      <link>javascript:alert(1)</link>
      <description>A quiet day.</description>
      <pubDate>Mon, 02 Nov 2026 09:00:00 GMT</pubDate>
    </item>
  </channel>
</rss>"""

ATOM = b"""<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom">
  <title>Notices</title><id>urn:notices</id><updated>2026-11-02T11:00:00Z</updated>
  <entry>
    <id>urn:notices:1</id>
    <title type="html">Rates &lt;b&gt;unchanged&lt;/b&gt;</title>
    <link href="notices/1"/>
    <updated>2026-11-02T12:30:00+01:00</updated>
    <summary>The board met; Aapl was not a topic.</summary>
  </entry>
</feed>"""

LATER = RSS.replace(
    b"</channel>",
    b"<item><guid isPermaLink='false'>urn:w:3</guid><title>Apple (AAPL) falls again</title>"
    b"<pubDate>Mon, 02 Nov 2026 10:30:00 GMT</pubDate></item></channel>",
)
HALF = RSS[: RSS.index(b"<title>Bonds")]
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a0 "lollollol">'
    + b"".join(b'<!ENTITY a%d "%s">' % (level, b"&a%d;" % (level - 1) * 10) for level in range(1, 10))
    + b']><rss version="2.0"><channel><item><title>&a9;</title></item></channel></rss>'
)


def _wire(url: str = "http://wire.example/rss", **more: Any) -> Feed:
    return Feed(name="Wire", url=url, category="markets", **more)


def _parsed(body: bytes, max_items: int = 100) -> tuple[list[NewsItem], str | None]:
    return market_news.parse(_wire(), Answer(status=200, headers={}, body=body), max_items)


# --- documents


def test_rss_becomes_items() -> None:
    """An RSS item keeps its id, link, date and tickers, and loses its markup and its scripts."""
    (first, second), problem = _parsed(RSS)
    assert problem is None
    assert first == NewsItem(
        id="urn:w:1",
        title="AAPL rises on strong sales",
        link="http://wire.example/1",
        published="2026-11-02T10:00:00+00:00",
        summary="Shares of Apple rose.",
        tags=["Markets", "AAPL", "MSFT"],
        feed="Wire",
        category="markets",
    )
    assert second.link is None


def test_atom_becomes_items() -> None:
    """An Atom entry's relative link is made absolute, its time UTC, its HTML title text."""
    ((entry,), problem) = _parsed(ATOM)
    assert problem is None
    assert (entry.id, entry.link) == ("urn:notices:1", "http://wire.example/notices/1")
    assert entry.published == "2026-11-02T11:30:00+00:00"
    assert entry.title == "Rates unchanged"


def test_only_so_many_items_are_kept() -> None:
    """max_items cuts a long feed."""
    assert [item.id for item in _parsed(RSS, 1)[0]] == ["urn:w:1"]


def test_what_can_be_read_of_a_broken_document_is_kept() -> None:
    """A document that breaks off gives its first items, and a problem that says so."""
    items, problem = _parsed(HALF)
    assert items[0].id == "urn:w:1"
    assert problem is not None
    assert "malformed" in problem


@pytest.mark.parametrize("body", [b"", b"{}", b"<html><title>Not found</title></html>", b"http://127.0.0.1:1/rss"])
def test_what_is_no_feed_is_refused(body: bytes) -> None:
    """Neither a web page nor an address is a feed."""
    with pytest.raises(FeedError, match="not a well-formed RSS or Atom"):
        _parsed(body)


def test_what_feedparser_chokes_on_is_malformed() -> None:
    """Some bytes make feedparser fail with errors that nobody expects."""
    with pytest.raises(FeedError, match="malformed"):
        _parsed(RSS.replace(b"<guid", b"&#xFFFFFFFFF;<<guid", 1))


@pytest.mark.parametrize("link", [b"http://[", b"https://a b/", b"//[", b"\xc2\xa0"])
def test_a_strange_link_does_not_spoil_the_others(link: bytes) -> None:
    """One item with such a link is an item all the same."""
    items, problem = _parsed(RSS.replace(b"http://wire.example/1", link))
    assert problem is None
    assert len(items) == 2


def test_a_body_that_is_a_file_name_is_not_opened(tmp_path: Path) -> None:
    """feedparser opens strings that are file names; it never gets to see one."""
    path = tmp_path / "feed.xml"
    path.write_bytes(RSS)
    with pytest.raises(FeedError):
        _parsed(str(path).encode())


def test_entities_of_files_stay_empty(tmp_path: Path) -> None:
    """A document can't have a file of this machine read into it."""
    path = tmp_path / "secret"
    path.write_text("sesame")
    declared = f'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY s SYSTEM "{path.as_uri()}">]>'.encode()
    items, _ = _parsed(declared + b'<rss version="2.0"><channel><item><title>[&s;]</title></item></channel></rss>')
    assert "sesame" not in items[0].title


def test_entities_do_not_explode() -> None:
    """Nested entities that stand for ten thousand million characters give a short title, and a problem."""
    items, problem = _parsed(BOMB)
    assert len(items[0].title) < 100
    assert problem is not None


def test_an_id_that_is_no_uri_gets_the_name_of_its_feed() -> None:
    """Feeds that number their items do not hide each other's."""
    items, _ = _parsed(RSS.replace(b"urn:w:1", b"1"))
    assert items[0].id == "Wire: 1"


def test_an_impossible_date_is_no_date() -> None:
    """feedparser lets some dates through that no calendar has."""
    assert market_news.date_of((10**9, 1, 1, 0, 0, 0, 0, 1, 0)) is None
    assert market_news.date_of(None) is None


def test_a_date_that_can_not_be_read_is_no_date() -> None:
    """An item with such a date is an item all the same."""
    items, problem = _parsed(RSS.replace(b"Mon, 02 Nov 2026 10:00:00 GMT", b"soon"))
    assert problem is None
    assert items[0].published is None


def test_a_long_summary_is_cut() -> None:
    """A summary has at most 500 characters, with a mark where it was cut."""
    items, _ = _parsed(RSS.replace(b"A quiet day.", b"quiet " * 1000))
    assert len(items[1].summary) == 500
    assert items[1].summary.endswith("…")


@given(st.binary(max_size=300) | st.builds(lambda cut: RSS[:cut] + b"<" + RSS[cut + 3 :], st.integers(0, len(RSS))))
@settings(max_examples=60, deadline=None)
def test_anything_gives_items_or_a_feed_error(body: bytes) -> None:
    """Whatever a server sends, reading it ends with items of the right shape, or with a FeedError."""
    try:
        items, _ = _parsed(body)
    except FeedError:
        return
    assert all(item.title and "\n" not in item.title for item in items)


@pytest.mark.parametrize(
    ("symbol", "text", "found"),
    [
        ("AAPL", "Apple (NASDAQ:AAPL) rises", True),
        ("aapl", "why $AAPL rises", True),
        ("apple", "Apple rises", True),
        ("AAPL", "AAPLE rises", False),
        ("AAPL", "XAAPL rises", False),
        ("BRK.B", "BRKXB rises", False),
        ("BRK.B", "BRK.B rises", True),
        ("IT", "it rises", False),
        ("it", "IT rises", True),
        ("^GSPC", "the index (^GSPC)", True),
    ],
)
def test_a_symbol_is_found_as_a_word(symbol: str, text: str, found: bool) -> None:
    """A symbol is a whole word, in any case unless it is so short that it may be a common word."""
    item = attrs.evolve(_parsed(RSS)[0][1], title=text)
    assert market_news.matches(item, market_news.matcher(symbol)) is found


def test_a_symbol_is_found_in_the_tags() -> None:
    """An item that is only tagged with a symbol is about it."""
    assert market_news.matches(_parsed(RSS)[0][0], market_news.matcher("MSFT"))


# --- settings


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"colour": 1}, "colour"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"max_bytes": 1.5}, "max_bytes"),
        ({"max_items": "many"}, "max_items"),
        ({"user_agent": "a\r\nb"}, "user_agent"),
        ({"feeds": []}, "feeds"),
        ({"feeds": "http://wire.example"}, "feeds"),
        ({"feeds": ["http://wire.example"]}, "wire.example"),
        ({"feeds": [{"name": "Wire"}]}, "url"),
        ({"feeds": [{"name": "Wire", "url": "file:///etc/passwd"}]}, "url"),
        ({"feeds": [{"name": "", "url": "http://wire.example"}]}, "name"),
        ({"feeds": [{"name": "Wire", "url": "http://wire.example", "refresh": -1}]}, "refresh"),
    ],
)
def test_a_wrong_setting_is_named(table: dict[str, Any], complaint: str) -> None:
    """A wrong key or value is refused, and the message names it."""
    with pytest.raises(PluginError, match=complaint):
        market_news.configure(table)


def test_the_default_feeds_are_asked_once_a_minute() -> None:
    """Without settings there are well-known feeds, all by https, and we are polite to them."""
    feeds = Settings().feeds
    assert len(feeds) >= 5
    assert all(feed.url.startswith("https://") and feed.refresh >= 60 for feed in feeds)


# --- the loopback server


@attrs.define
class Wire:
    """A web server whose pages are functions.

    Attributes:
        pages: What each path answers; a page that returns None never does.
        seen: The requests, in order.
        hanging: How many requests wait for an answer, and have not gone away.
        most: How many waited at the same time, at most.
        connections: How many connections are open.
    """

    pages: dict[str, Callable[[Request], bytes | None]] = attrs.Factory(dict)
    seen: list[Request] = attrs.Factory(list)
    hanging: int = 0
    most: int = 0
    connections: int = 0
    port: int = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def feed(self, path: str, **more: Any) -> dict[str, Any]:
        return {"name": path.strip("/"), "url": self.url(path), **more}

    def render(self, request: Request) -> Any:
        self.seen.append(request)
        answer = self.pages[request.path.decode()](request)
        if answer is not None:
            return answer
        self.hanging += 1
        self.most = max(self.most, self.hanging)
        request.notifyFinish().addBoth(self._gone)
        return NOT_DONE_YET

    def _gone(self, _: object) -> None:
        self.hanging -= 1


class _Everything(Resource):
    isLeaf = True

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self.wire = wire

    def render_GET(self, request: Request) -> Any:
        return self.wire.render(request)


class _CountingSite(Site):
    wire: Wire

    def buildProtocol(self, addr: Any) -> Any:
        channel = super().buildProtocol(addr)
        lost = channel.connectionLost

        def connectionLost(reason: Any) -> None:
            self.wire.connections -= 1
            lost(reason)

        self.wire.connections += 1
        channel.connectionLost = connectionLost
        return channel


async def _until(condition: Callable[[], object]) -> None:
    """Let the reactor turn until something is so; the deadline of the test is the limit."""
    while not condition():
        await deferLater(reactor, 0.002)


@pytest.fixture
def server() -> Iterator[Wire]:
    """A loopback web server; at the end of the test none of its connections may be open."""
    wire = Wire()
    site = _CountingSite(_Everything(wire))
    site.wire = wire
    port = reactor.listenTCP(0, site, interface="127.0.0.1")
    wire.port = port.getHost().port
    wire.pages.update(PAGES)
    yield wire
    pytest_twisted.blockon(Deferred.fromCoroutine(_until(lambda: wire.connections == 0)).addTimeout(5, reactor))
    pytest_twisted.blockon(port.stopListening())


def _conditional(request: Request) -> bytes:
    request.setHeader("last-modified", "Mon, 02 Nov 2026 10:00:00 GMT")
    return b"" if request.setETag(b'"one"') else RSS


def _zipped(body: bytes) -> Callable[[Request], bytes]:
    def page(request: Request) -> bytes:
        request.setHeader("content-encoding", "gzip")
        return body

    return page


def _moved(location: bytes) -> Callable[[Request], bytes]:
    def page(request: Request) -> bytes:
        request.redirect(location)
        return b"moved" * 10_000  # a body that nobody reads

    return page


def _failing(request: Request) -> bytes:
    request.setResponseCode(500)
    return b"<html>oops</html>"


def _unmeasured(request: Request) -> None:
    """Many bytes, without a word about how many."""
    for _ in range(40):
        request.write(b"x" * 1000)


def _cut_off(request: Request) -> None:
    request.setHeader("content-length", b"100000")
    request.write(RSS)
    request.transport.loseConnection()


PAGES: dict[str, Callable[[Request], bytes | None]] = {
    "/rss": _conditional,
    "/atom": lambda request: ATOM,
    "/gzip": _zipped(gzip.compress(RSS)),
    "/bomb": _zipped(gzip.compress(b"0" * 5_000_000)),
    "/not-gzip": _zipped(RSS),
    "/large": lambda request: RSS + b" " * 20_000,
    "/unmeasured": _unmeasured,
    "/cut-off": _cut_off,
    "/half": lambda request: HALF,
    "/hang": lambda request: None,
    "/500": _failing,
    "/moved": _moved(b"/rss"),
    "/loop": _moved(b"/loop"),
    "/ftp": _moved(b"ftp://127.0.0.1/rss"),
    "/nowhere": _moved(b"http://["),
}
LIMIT = 10_000


# --- fetching


@pytest.mark.parametrize("path", ["/rss", "/gzip", "/moved"])
async def test_a_feed_is_fetched(server: Wire, path: str) -> None:
    """A document comes as it is, unpacked, and over a redirect."""
    answer = await market_news.get(server.url(path), {"user-agent": "reader"}, LIMIT)
    assert (answer.status, answer.body) == (200, RSS)
    assert server.seen[-1].getHeader("user-agent") == "reader"


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("/large", "larger than 10000 bytes"),
        ("/unmeasured", "larger than 10000 bytes"),
        ("/bomb", "larger than 10000 bytes"),
        ("/not-gzip", "gzip"),
        ("/cut-off", "connection was lost"),
        ("/loop", "more than 5 times"),
        ("/ftp", "neither http nor https"),
    ],
)
async def test_a_bad_answer_is_refused(server: Wire, path: str, complaint: str) -> None:
    """A body that is too long, broken or cut off, or a bad redirect, is a FeedError, and no connection stays."""
    with pytest.raises(FeedError, match=complaint):
        await market_news.get(server.url(path), {}, LIMIT)


async def test_cancelling_a_fetch_closes_its_connection(server: Wire) -> None:
    """The server sees the client leave while it still works on the answer."""
    fetching = Deferred.fromCoroutine(market_news.get(server.url("/hang"), {}, LIMIT))
    await _until(lambda: server.hanging)
    fetching.cancel()
    with pytest.raises((CancelledError, ResponseFailed)):
        await fetching
    await _until(lambda: not server.hanging)


def test_gzip_is_unpacked_no_further_than_the_limit() -> None:
    """Some KB that stand for 20 MB are never unpacked to more than one byte over the limit."""
    body = Body(1000, True)
    packed = gzip.compress(b"0" * 20_000_000)
    body.dataReceived(packed)
    assert len(body._data) == 1001
    body.dataReceived(b"more")
    failure = body.done.result
    assert isinstance(failure, Failure)
    assert failure.check(FeedError)
    body.done.addErrback(lambda _: None)


def test_a_gzip_body_in_pieces_is_unpacked() -> None:
    """The pieces of a packed body may be cut anywhere."""
    packed = zlib.compressobj(wbits=31)
    data = packed.compress(RSS) + packed.flush()
    body = Body(len(RSS), True)
    for index in range(len(data)):
        body.dataReceived(data[index : index + 1])
    body.connectionLost()
    assert body.done.result == RSS


# --- one feed


def _source(server: Wire, path: str, **more: Any) -> Source:
    return Source(_wire(server.url(path), **more), Settings(timeout=3, max_bytes=LIMIT))


async def test_a_feed_that_has_not_changed_is_not_sent_again(server: Wire) -> None:
    """The second fetch carries the ETag and the date of the first; 304 keeps the items."""
    one = _source(server, "/rss")
    assert await one.refresh(Clock()) is None
    assert server.seen[0].getHeader("if-none-match") is None
    before = one.items
    await one.refresh(Clock())
    assert server.seen[1].getHeader("if-none-match") == '"one"'
    assert server.seen[1].getHeader("if-modified-since") == "Mon, 02 Nov 2026 10:00:00 GMT"
    assert server.seen[1].code == 304
    assert one.items is before
    assert len(before) == 2


async def test_a_malformed_feed_is_fetched_whole_again(server: Wire) -> None:
    """The ETag of a document that could not be read is not kept: the next fetch must not be answered with 304."""
    one = _source(server, "/rss")
    server.pages["/rss"] = lambda request: b"" if request.setETag(b'"half"') else HALF
    for _ in range(2):
        assert "malformed" in str(await one.refresh(Clock()))
    assert [item.id for item in one.items][:1] == ["urn:w:1"]


async def test_the_etag_of_before_is_forgotten_with_a_malformed_document(server: Wire) -> None:
    """The items that it stood for are gone, so that 304 would be no answer."""
    one = _source(server, "/rss")
    await one.refresh(Clock())
    server.pages["/rss"] = lambda request: HALF
    await one.refresh(Clock())
    await one.refresh(Clock())
    assert [request.getHeader("if-none-match") for request in server.seen] == [None, '"one"', None]


async def test_a_feed_is_not_asked_before_its_time(server: Wire) -> None:
    """Within `refresh` seconds of a fetch, whoever wants the feed gets what is there, be it a failure."""
    clock, one = Clock(), _source(server, "/rss", refresh=60)
    await one.refresh(clock)
    clock.advance(59)
    await one.refresh(clock)
    assert len(server.seen) == 1
    clock.advance(1)
    server.pages["/rss"] = _failing
    problem = await one.refresh(clock)
    assert len(server.seen) == 2
    assert problem == await one.refresh(clock) == "Wire: HTTP status 500"
    assert len(server.seen) == 2


async def test_a_feed_that_hangs_is_given_up(server: Wire) -> None:
    """After the timeout, on the clock of the call, the fetch fails and its connection is closed."""
    clock = Clock()
    fetching = Deferred.fromCoroutine(_source(server, "/hang").refresh(clock))
    await _until(lambda: server.hanging)
    clock.advance(2.9)
    assert not fetching.called
    clock.advance(0.1)
    assert await fetching == "Wire: no complete answer within 3 seconds"
    await _until(lambda: not server.hanging)
    assert not clock.getDelayedCalls()


async def test_documents_are_parsed_in_a_thread(server: Wire) -> None:
    """The reactor goes on turning while a document is read that takes some tenths of a second."""
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1

    server.pages["/rss"] = lambda request: BOMB
    one, ticking = _source(server, "/rss"), LoopingCall(turn)
    ticking.start(0.005)
    assert "malformed" in str(await one.refresh(Clock()))
    ticking.stop()
    assert turns > 5


# --- all feeds


def _newsroom(server: Wire, *paths: str) -> Newsroom:
    return Newsroom(Settings(feeds=[Feed(**server.feed(path)) for path in paths], timeout=3, max_bytes=LIMIT))


async def test_bad_feeds_are_named_and_the_others_read(server: Wire) -> None:
    """A feed that is down, malformed, too large or redirects for ever does not keep the others from being read."""
    room = _newsroom(server, "/rss", "/500", "/half", "/large", "/loop", "/nowhere", "/cut-off", "/atom")
    problems = await room.refresh(room.sources, Clock())
    assert [problem.split(":")[0] for problem in problems] == ["500", "half", "large", "loop", "nowhere", "cut-off"]
    assert "HTTP status 500" in problems[0]
    assert [len(source.items) for source in room.sources[::7]] == [2, 1]


async def test_a_server_that_is_not_there_is_reported() -> None:
    """A refused connection is told in words."""
    port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
    number = port.getHost().port
    await port.stopListening()
    room = Newsroom(Settings(feeds=[_wire(f"http://127.0.0.1:{number}/rss")]))
    assert await room.refresh(room.sources, Clock()) == ["Wire: it refuses the connection"]


def _self_signed() -> PrivateCertificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(datetime(2020, 1, 1)).not_valid_after(datetime(2100, 1, 1))
    certificate = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
    pem = certificate.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    kind, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return PrivateCertificate.loadPEM(pem + key.private_bytes(serialization.Encoding.PEM, kind, plain))


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")  # that is how Twisted makes a TLS server
async def test_a_certificate_that_nobody_trusts_is_refused(server: Wire) -> None:
    """A feed by https is only read from the server that it is meant to come from."""
    site = _CountingSite(_Everything(server))
    site.wire = server
    port = reactor.listenSSL(0, site, _self_signed().options(), interface="127.0.0.1")
    room = Newsroom(Settings(feeds=[_wire(f"https://localhost:{port.getHost().port}/rss")]))
    (problem,) = await room.refresh(room.sources, Clock())
    assert "certificate" in problem
    assert server.seen == []
    await port.stopListening()


async def test_few_feeds_are_fetched_at_once(server: Wire) -> None:
    """Four fetches run at the same time; the others take their turn as these end."""
    clock, room = Clock(), _newsroom(server, *["/hang"] * 6)
    refreshing = Deferred.fromCoroutine(room.refresh(room.sources, clock))
    await _until(lambda: server.hanging == 4)
    clock.advance(3)
    await _until(lambda: len(server.seen) == 6 and server.hanging == 2)
    clock.advance(3)
    assert len(await refreshing) == 6
    assert server.most == 4


async def test_cancelling_a_refresh_closes_all_connections(server: Wire) -> None:
    """The running fetches are aborted, those that wait never begin, and the refresh ends with CancelledError."""
    clock, room = Clock(), _newsroom(server, *["/hang"] * 6)
    refreshing = Deferred.fromCoroutine(room.refresh(room.sources, clock))
    await _until(lambda: server.hanging == 4)
    refreshing.cancel()
    with pytest.raises(CancelledError):
        await refreshing
    await _until(lambda: not server.hanging)
    assert len(server.seen) == 4
    assert not clock.getDelayedCalls()


def test_a_reason_is_told_in_words(flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """Known errors have words of their own; one that nobody foresaw is logged, and not told to strangers."""
    assert market_news.reason(DNSLookupError("secret.example")) == "its host name is not known"
    assert "secret" not in market_news.reason(ZeroDivisionError("secret"))
    assert len(flush_logged_errors(ZeroDivisionError)) == 1


def test_a_wrapped_cancellation_stays_one() -> None:
    """Twisted wraps the cancelling of a request in its own error; the call must end all the same."""
    with pytest.raises(CancelledError):
        market_news.reason(ResponseFailed([Failure(CancelledError())]))


# --- the tools


@pytest.fixture
def configured() -> Iterator[Callable[..., None]]:
    """Configures the plugin for one test."""
    yield lambda *feeds, **more: market_news.configure({"feeds": list(feeds), "timeout": 3, **more})
    market_news.configure({})


async def test_news_are_returned_newest_first(server: Wire, configured: Callable[..., None]) -> None:
    """get_market_news merges the feeds, newest first, up to the limit, and names the feeds that failed."""
    configured(server.feed("/rss"), server.feed("/atom"), server.feed("/500"))
    runner = ToolRunner(market_news.get_market_news)
    running = runner.call("get_market_news", limit=2)
    await _until(lambda: running.done)
    assert [item["id"] for item in running.structured["items"]] == ["urn:notices:1", "urn:w:1"]
    assert running.structured["problems"] == ["500: HTTP status 500"]
    assert runner.leftovers() == []


async def test_news_of_one_category(server: Wire, configured: Callable[..., None]) -> None:
    """Only the feeds of the category are asked."""
    configured(server.feed("/rss", category="markets"), server.feed("/500", category="regulators"))
    runner = ToolRunner(market_news.get_market_news)
    running = runner.call("get_market_news", category="markets")
    await _until(lambda: running.done)
    assert len(running.structured["items"]) == 2
    assert running.structured["problems"] == []
    wrong = runner.call("get_market_news", category="sports")
    assert wrong.result.is_error
    assert "markets, regulators" in wrong.text


def _batch(running: Any) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(running.progress[-1].message)
    return parsed


async def test_a_stream_sends_what_is_new(server: Wire, configured: Callable[..., None]) -> None:
    """A first progress at once, a batch of new items of the symbol each interval, then a summary."""
    configured(server.feed("/rss"), server.feed("/atom"))
    runner = ToolRunner(market_news.stream_market_news)
    running = runner.call("stream_market_news", symbol="AAPL", interval=30, duration=80)
    assert [(said.value, said.total) for said in running.progress] == [(0, 1)]
    assert server.seen == []

    runner.clock.advance(30)
    await _until(lambda: len(running.progress) == 2)
    assert running.progress[-1].value == pytest.approx(30 / 80)
    assert [item["id"] for item in _batch(running)["items"]] == ["urn:notices:1", "urn:w:1"]

    server.pages["/rss"] = lambda request: LATER
    runner.clock.advance(30)
    await _until(lambda: len(running.progress) == 3)
    assert [item["id"] for item in _batch(running)["items"]] == ["urn:w:3"]

    runner.clock.advance(20)
    await _until(lambda: running.done)
    assert [said.value for said in running.progress] == [0, 30 / 80, 60 / 80, 1]
    assert _batch(running)["items"] == []
    assert (running.structured["batches"], running.structured["matched"]) == (3, 3)
    assert [item["id"] for item in running.structured["items"]] == ["urn:w:3", "urn:notices:1", "urn:w:1"]
    assert runner.leftovers() == []


async def test_a_feed_that_fails_does_not_end_the_stream(server: Wire, configured: Callable[..., None]) -> None:
    """The batch names the feed and the reason; once the feed is well again, its items come."""
    configured(server.feed("/500"), server.feed("/half"))
    runner = ToolRunner(market_news.stream_market_news)
    running = runner.call("stream_market_news", symbol="AAPL", interval=10, duration=20)
    runner.clock.advance(10)
    await _until(lambda: len(running.progress) == 2)
    assert _batch(running)["problems"][0] == "500: HTTP status 500"
    assert "malformed" in _batch(running)["problems"][1]

    server.pages["/500"] = lambda request: LATER
    runner.clock.advance(10)
    await _until(lambda: running.done)
    assert [item["id"] for item in _batch(running)["items"]] == ["urn:w:3"]
    assert len(running.structured["problems"]) == 2
    assert not running.result.is_error


async def test_a_slow_feed_makes_the_stream_leave_out_batches(server: Wire, configured: Callable[..., None]) -> None:
    """While a feed hangs, the marks that pass are left out; the progress goes on from the time that it is."""
    configured(server.feed("/hang"), timeout=25)
    runner = ToolRunner(market_news.stream_market_news)
    running = runner.call("stream_market_news", symbol="AAPL", interval=10, duration=40)
    runner.clock.advance(10)
    await _until(lambda: server.hanging)
    runner.clock.advance(25)
    await _until(lambda: len(running.progress) == 2)
    server.pages["/hang"] = lambda request: RSS
    runner.clock.advance(5)
    await _until(lambda: running.done)
    assert [said.value for said in running.progress] == [0, 10 / 40, 1]


async def test_a_client_that_goes_away_stops_the_fetches(server: Wire, configured: Callable[..., None]) -> None:
    """In-flight fetches are aborted in the same turn, and nothing of the call stays behind."""
    configured(server.feed("/hang"), server.feed("/hang"))
    runner = ToolRunner(market_news.stream_market_news)
    running = runner.call("stream_market_news", symbol="AAPL", interval=10, duration=40)
    runner.clock.advance(10)
    await _until(lambda: server.hanging == 2)
    running.drop()
    assert runner.leftovers() == []
    await _until(lambda: not server.hanging)
    assert len(running.progress) == 1


async def test_a_flood_of_news_is_sent_in_parts(server: Wire, configured: Callable[..., None]) -> None:
    """A batch has at most 50 items, the newest; the others follow with the next."""
    many = b"".join(b"<item><guid>%d</guid><title>AAPL</title></item>" % number for number in range(60))
    server.pages["/rss"] = lambda request: b'<rss version="2.0"><channel>' + many + b"</channel></rss>"
    configured(server.feed("/rss"))
    runner = ToolRunner(market_news.stream_market_news)
    running = runner.call("stream_market_news", symbol="AAPL", interval=10, duration=20)
    runner.clock.advance(10)
    await _until(lambda: len(running.progress) == 2)
    assert len(_batch(running)["items"]) == 50
    runner.clock.advance(10)
    await _until(lambda: running.done)
    assert len(_batch(running)["items"]) == 10
    assert running.structured["matched"] == 60


def test_a_category_without_feeds_is_refused() -> None:
    """The error names the categories that there are."""
    with pytest.raises(ToolError, match="crypto, markets, regulators, stocks"):
        Newsroom(Settings()).of_category("sports")
