"""market_news: financial news from RSS and Atom feeds, once or as a stream.

    [plugin.market_news]        # all of it may be left out
    timeout = 10                 # seconds for one feed, from the first step to the last byte
    max_bytes = 1048576          # of one feed, decompressed
    max_items = 100              # of one feed
    user_agent = "mcpserve"
    [[plugin.market_news.feeds]]
    name = "Wire"
    url = "https://example.com/rss.xml"
    category = "markets"
    refresh = 0                  # seconds before which the feed is not asked again, whoever wants it

From the bottom up: `get` fetches a few bytes and leaves no connection behind, `parse` makes items of them, a `Source`
remembers a feed between two fetches, the `Newsroom` has them all, and the two tools at the end ask it.
"""

import io
import json
import re
import zlib
from calendar import timegm
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Annotated, Any, TypeVar
from urllib.parse import urljoin, urlsplit
from xml.sax import SAXException

import attrs
from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.error import ConnectError, ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,  # noqa: TID251 (it is given to treq)
    BrowserLikePolicyForHTTPS,
    GzipDecoder,
    HostnameCachingHTTPSPolicy,
    HTTPConnectionPool,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers

from mcpserve import Arg, Call, PluginError, ToolError, tool

log = Logger(namespace="mcpserve.plugins.market_news")
T = TypeVar("T")
A = TypeVar("A", bound=attrs.AttrsInstance)

CONNECT_TIMEOUT = 5.0  # seconds
# Twisted would read the trusted certificates of this host for each connection, 7 ms each time.
TLS = HostnameCachingHTTPSPolicy(BrowserLikePolicyForHTTPS())
REDIRECTS = (301, 302, 303, 307, 308)
MAX_REDIRECTS = 5
AT_ONCE = 4  # feeds that are fetched at the same time, for all callers together
MARKUP = 10_000  # characters of a summary that are looked at
SUMMARY = 500  # characters of a summary that are kept
BATCH = 50  # items in one progress message; what is over follows with the next


class FeedError(Exception):
    """A feed can't be read; the text says why, for the model."""


def a_text(_: object, attribute: "attrs.Attribute[str]", value: object) -> None:
    """Refuse what is not a line of text; an attrs validator."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(f"{attribute.name} must be a line of text, not {value!r}")


def a_url(_: object, attribute: "attrs.Attribute[str]", value: object) -> None:
    """Refuse what is not the URL of something on the web; an attrs validator."""
    if not isinstance(value, str) or not re.match(r"https?://[^/\s]+", value):
        raise ValueError(f"{attribute.name} must be an http or https URL, not {value!r}")


def a_number(low: float, high: float, *kinds: type) -> Callable[[object, "attrs.Attribute[Any]", Any], None]:
    """Make an attrs validator for numbers in a range."""

    def check(_: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if type(value) not in kinds or not low <= value <= high:
            raise ValueError(f"{attribute.name} must be a number from {low} to {high}, not {value!r}")

    return check


@attrs.frozen(kw_only=True)
class Feed:
    """A feed as it is configured."""

    name: str = attrs.field(validator=a_text)
    url: str = attrs.field(validator=a_url)
    category: str = attrs.field(default="general", validator=a_text)
    refresh: float = attrs.field(default=0.0, validator=a_number(0, 86_400, int, float))


# We are a guest at these: they change every few minutes at most, and are asked once a minute at most.
DEFAULT_FEEDS = tuple(
    Feed(name=name, url=url, category=category, refresh=60.0)
    for name, category, url in (
        ("CNBC", "markets", "https://www.cnbc.com/id/100003114/device/rss/rss.html"),
        ("MarketWatch", "markets", "https://feeds.content.dowjones.io/public/rss/mw_topstories"),
        ("Nasdaq", "stocks", "https://www.nasdaq.com/feed/rssoutbound?category=Stocks"),
        ("Yahoo Finance", "stocks", "https://finance.yahoo.com/news/rssindex"),
        ("CoinDesk", "crypto", "https://www.coindesk.com/arc/outboundfeeds/rss/"),
        ("Federal Reserve", "regulators", "https://www.federalreserve.gov/feeds/press_all.xml"),
        ("ECB", "regulators", "https://www.ecb.europa.eu/rss/press.html"),
        ("SEC", "regulators", "https://www.sec.gov/news/pressreleases.rss"),
    )
)


@attrs.frozen(kw_only=True)
class Settings:
    """What can be configured."""

    feeds: Sequence[Feed] = DEFAULT_FEEDS
    timeout: float = attrs.field(default=10.0, validator=a_number(0.1, 300, int, float))
    max_bytes: int = attrs.field(default=2**20, validator=a_number(1024, 2**26, int))
    max_items: int = attrs.field(default=100, validator=a_number(1, 1000, int))
    user_agent: str = attrs.field(default="mcpserve", validator=a_text)


@attrs.frozen(kw_only=True)
class NewsItem:
    """One piece of news."""

    id: str
    title: str
    link: Annotated[str | None, "Where the whole text is."]
    published: Annotated[str | None, "ISO 8601, UTC."]
    summary: Annotated[str, "Plain text, cut short."]
    tags: Annotated[list[str], "Categories and ticker symbols that the feed gives it."]
    feed: str
    category: str


@attrs.frozen(kw_only=True)
class News:
    """What `get_market_news` returns."""

    items: Annotated[list[NewsItem], "Newest first."]
    problems: Annotated[list[str], "Feeds that could not be read now, and why."]


@attrs.frozen(kw_only=True)
class NewsWatch:
    """What `stream_market_news` returns."""

    symbol: str
    batches: int
    matched: Annotated[int, "How many items were sent."]
    items: Annotated[list[NewsItem], "The last of them, newest first."]
    problems: Annotated[list[str], "What went wrong on the way, each once."]


# --- bytes


@attrs.frozen(kw_only=True)
class Answer:
    """What a server said. The body is there only if the status is 200."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connections(HTTPConnectionPool):
    """Keeps no connection for later, and remembers those that it opened, so that they can be aborted.

    That is the one sure way to leave nothing behind: a response whose body nobody reads stays open for ever, and an
    orderly end of TLS waits for the other side.
    """

    def __init__(self) -> None:
        super().__init__(reactor, persistent=False)  # type: ignore[no-untyped-call]
        self._opened: list[Any] = []

    def getConnection(self, key: Any, endpoint: Any) -> "Deferred[Any]":
        """Called by the agent."""
        connecting: Deferred[Any] = super().getConnection(key, endpoint)
        return connecting.addCallback(self._remember)

    def abort(self) -> None:
        """End all connections, whatever they are doing."""
        for connection in self._opened:
            connection.transport.abortConnection()

    def _remember(self, connection: Any) -> Any:
        self._opened.append(connection)
        return connection


class Body(Protocol):
    """Collects a response body, up to a limit.

    Args:
        limit: In bytes, after decompression.
        gzipped: Whether the body is to be decompressed.

    Attributes:
        done: Fires with the bytes when the body is complete; fails when it is too long, broken or cut off.
    """

    def __init__(self, limit: int, gzipped: bool) -> None:
        self.done: Deferred[bytes] = Deferred()
        self._limit = limit
        # Never more than one byte over the limit: some KB of gzip can hold a GB of zeros.
        self._inflater = zlib.decompressobj(16 + zlib.MAX_WBITS) if gzipped else None
        self._data = bytearray()

    def dataReceived(self, data: bytes) -> None:
        """Called by the response. Nothing may be raised here: Twisted would swallow it, and `done` would not fire."""
        if self.done.called:
            return
        try:
            self._data += self._inflater.decompress(data, self._room() + 1) if self._inflater else data
        except zlib.error:
            self.done.errback(FeedError("it is not valid gzip"))
            return
        if self._room() < 0:
            self.done.errback(FeedError(f"it is larger than {self._limit} bytes"))

    def connectionLost(self, reason: Failure = Failure(ResponseDone())) -> None:  # noqa: B008 (Twisted's own signature)
        """Called at the end of the response."""
        if self.done.called:
            return
        # PotentialDataLoss: the server gave no length and closed. Was something lost, the parser will see it.
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(bytes(self._data))
        else:
            self.done.errback(FeedError("the connection was lost"))

    def _room(self) -> int:
        return self._limit - len(self._data)


async def get(url: str, headers: Mapping[str, str], limit: int) -> Answer:
    """Fetch a URL, over redirects.

    Args:
        url: http or https.
        headers: To send.
        limit: The longest body, in bytes.

    Cancel: aborts the connection.
    Raises:
        FeedError: It redirects too often, or to another kind of URL, or the body is too long or broken.
    """
    connections = Connections()
    raw_headers = Headers({name: [value] for name, value in headers.items()})
    client = HTTPClient(Agent(reactor, contextFactory=TLS, connectTimeout=CONNECT_TIMEOUT, pool=connections))
    try:
        for _ in range(MAX_REDIRECTS + 1):
            if urlsplit(url).scheme not in ("http", "https"):
                raise FeedError("it redirects to something that is neither http nor https")
            # treq would follow redirects, but not read the bodies on the way; it would also read without limit.
            response = await client.get(url, headers=raw_headers, allow_redirects=False, unbuffered=True)
            location = response.headers.getRawHeaders("location", [""])[0]
            if response.code not in REDIRECTS or not location:
                return await read(response, limit)
            url = urljoin(url, location)
        raise FeedError(f"it redirects more than {MAX_REDIRECTS} times")
    finally:
        connections.abort()


async def read(response: Any, limit: int) -> Answer:
    """Take an answer in: the body, if it is a good one, and the headers that matter."""
    wanted = ("etag", "last-modified", "content-type")
    values = {name: response.headers.getRawHeaders(name, [None])[0] for name in wanted}
    headers = {name: value for name, value in values.items() if value is not None}
    if response.code != 200:
        return Answer(status=response.code, headers=headers, body=b"")
    # treq asks for gzip and unpacks it, each chunk without limit; `Body` does that instead.
    gzipped = isinstance(response.original, GzipDecoder)
    body = Body(limit, gzipped)
    (response.original.original if gzipped else response.original).deliverBody(body)
    return Answer(status=200, headers=headers, body=await body.done)


# --- items


def parse(feed: Feed, answer: Answer, max_items: int) -> tuple[list[NewsItem], str | None]:
    """Make items of a document. Runs in a thread: it touches nothing but its arguments.

    Returns:
        The items, and what is wrong with the document if only a part of it could be read.

    Raises:
        FeedError: It is neither RSS nor Atom.
    """
    # Imported here since it takes 40 ms, more than a tenth of the server's start: only who reads news pays for it.
    import feedparser  # noqa: PLC0415

    try:
        # A stream: of bytes or a string feedparser would look whether they are a file name or a URL, and open that.
        # Entities are no danger: those of other files are not loaded, and expat stops when they grow out of bounds.
        document = feedparser.parse(
            io.BytesIO(answer.body),
            response_headers={"content-type": answer.headers.get("content-type", ""), "content-location": feed.url},
            sanitize_html=False,  # all markup is taken out below
            resolve_relative_uris=False,
        )
        items = [item_of(entry, feed) for entry in document.entries[:max_items]]
    except Exception as error:  # feedparser has several kinds for bytes that make no sense to it
        raise FeedError("it is malformed") from error
    if not document.get("version") and not items:
        raise FeedError("it is not a well-formed RSS or Atom document")
    broken = isinstance(document.get("bozo_exception"), SAXException)
    return items, f"it is malformed; {len(items)} items could be read" if broken else None


def item_of(entry: Any, feed: Feed) -> NewsItem:
    """Make an item of feedparser's entry."""
    link = entry.get("link", "")
    title = text_of(entry, "title") or "(no title)"
    name = entry.get("id") or link or title
    return NewsItem(
        id=name if ":" in name else f"{feed.name}: {name}",  # a plain number is unique within its feed only
        title=title,
        link=link if link.startswith(("http://", "https://")) else None,
        # dict.get: feedparser's own would give the date of publication for one of change, with a warning.
        published=date_of(entry.get("published_parsed") or dict.get(entry, "updated_parsed")),
        summary=text_of(entry, "summary"),
        tags=tags_of(entry),
        feed=feed.name,
        category=feed.category,
    )


def tags_of(entry: Any) -> list[str]:
    """Collect categories, and ticker symbols, which some feeds have in an element of their own (`nasdaq:tickers`)."""
    tags = [tag.get("term") or "" for tag in entry.get("tags", ())]
    tickers = [name for key, value in entry.items() if key.endswith("tickers") for name in str(value).split(",")]
    return list(dict.fromkeys(name for tag in tags + tickers if (name := tag.strip()[:100])))[:50]


def date_of(parsed: Any) -> str | None:
    """Turn feedparser's UTC time into ISO 8601; None for one that is missing or impossible."""
    try:
        return datetime.fromtimestamp(timegm(parsed), UTC).isoformat() if parsed else None
    except (ValueError, OverflowError):
        return None


def text_of(entry: Any, name: str) -> str:
    """Take a text of an entry without its markup, in one line, cut short."""
    text = entry.get(name, "")[:MARKUP]
    if "html" in entry.get(f"{name}_detail", {}).get("type", ""):
        text = without_markup(text)
    text = " ".join(text.split())
    return text if len(text) <= SUMMARY else text[: SUMMARY - 1] + "…"


class Words(HTMLParser):
    """Collects the text of a piece of HTML; what scripts and styles hold is none."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        """Called by the parser."""
        self._hidden = tag in ("script", "style")
        self.words.append(" " if tag in ("p", "br", "div", "li", "td", "h1", "h2", "h3") else "")

    def handle_endtag(self, tag: str) -> None:
        """Called by the parser."""
        self._hidden = False

    def handle_data(self, data: str) -> None:
        """Called by the parser."""
        if not self._hidden:
            self.words.append(data)


def without_markup(html: str) -> str:
    """Return the text of a piece of HTML."""
    parser = Words()
    parser.feed(html)
    parser.close()
    return "".join(parser.words)


def matcher(symbol: str) -> re.Pattern[str]:
    """Make a pattern that finds a symbol as a whole word, in capitals if it is short: IT and ALL are words as well."""
    flags = re.NOFLAG if len(symbol) <= 3 else re.IGNORECASE
    return re.compile(rf"(?<!\w){re.escape(symbol.upper())}(?!\w)", flags)


def matches(item: NewsItem, pattern: re.Pattern[str]) -> bool:
    """Say whether an item is about the symbol."""
    return any(pattern.search(text) for text in (item.title, item.summary, *item.tags))


def newest_first(items: Iterable[NewsItem]) -> list[NewsItem]:
    """Sort by date, those without one at the end; what two feeds have in common comes once."""
    return sorted({item.id: item for item in items}.values(), key=lambda item: item.published or "", reverse=True)


# --- feeds


def reason(error: Exception) -> str:
    """Say why a feed can't be read, in words for a model.

    Raises:
        CancelledError: That was the reason, perhaps in one of Twisted's wrappings: this call has ended.
    """
    if isinstance(error, CancelledError) or any(
        failure.check(CancelledError) for failure in getattr(error, "reasons", ())
    ):
        raise CancelledError() from None
    reasons: tuple[tuple[type[Exception], str], ...] = (
        (FeedError, str(error)),
        (DNSLookupError, "its host name is not known"),
        (ConnectionRefusedError, "it refuses the connection"),
        (ConnectError, "it can't be reached"),
        (ValueError, "it redirects to something that is no address"),
        (ResponseFailed, "the connection was lost, its certificate is not trusted, or it does not speak HTTP"),
    )
    for kind, words in reasons:
        if isinstance(error, kind):
            return words
    # What is odd about one feed must not end the stream of the others; but it is for us to see.
    log.failure("A feed could not be read", failure=Failure(error))
    return "it can't be read"


class Source:
    """A feed, what was last read from it, and how to ask whether it has changed since.

    Args:
        feed: Which.
        settings: The limits.
    """

    def __init__(self, feed: Feed, settings: Settings) -> None:
        self.feed = feed
        self.items: list[NewsItem] = []
        self._settings = settings
        self._unchanged: dict[str, str] = {}  # the headers of a conditional GET
        self._asked: float | None = None
        self._problem: str | None = None

    async def refresh(self, clock: IReactorTime) -> str | None:
        """Bring the items up to date, unless it is too early to ask again.

        Returns:
            What went wrong when the feed was last asked: its name, and why it could not be read.

        Cancel: aborts the fetch; the items stay as they were.
        """
        now = clock.seconds()
        if self._asked is None or now - self._asked >= self.feed.refresh:
            self._problem = await self._ask(clock)
            self._asked = now
        return self._problem

    async def _ask(self, clock: IReactorTime) -> str | None:
        try:
            answer = await self._fetch(clock)
            if answer.status not in (200, 304):
                raise FeedError(f"HTTP status {answer.status}")
            if answer.status == 200:
                await self._take(answer)
        except Exception as error:
            return f"{self.feed.name}: {reason(error)}"
        return None

    def _fetch(self, clock: IReactorTime) -> "Deferred[Answer]":
        timeout = self._settings.timeout
        headers = {"user-agent": self._settings.user_agent, "accept": "application/rss+xml, application/atom+xml, */*"}
        fetching = Deferred.fromCoroutine(get(self.feed.url, headers | self._unchanged, self._settings.max_bytes))
        late = Failure(FeedError(f"no complete answer within {timeout:g} seconds"))
        return fetching.addTimeout(timeout, clock, lambda result, seconds: late)

    async def _take(self, answer: Answer) -> None:
        self._unchanged = {}
        # In a thread: a large document takes a tenth of a second, and so does a small one that is full of entities.
        self.items, problem = await deferToThread(parse, self.feed, answer, self._settings.max_items)
        if problem is not None:
            raise FeedError(problem)
        conditions = {"etag": "if-none-match", "last-modified": "if-modified-since"}
        self._unchanged = {conditions[name]: answer.headers[name] for name in conditions if name in answer.headers}


async def all_of(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines at the same time.

    Returns:
        Their results, in order.

    Cancel: cancels all of them.
    """
    running = [Deferred.fromCoroutine(coroutine) for coroutine in coroutines]
    try:
        return [await one for one in running]
    finally:
        for one in running:
            one.addErrback(lambda failure: None)  # after a cancel nobody else looks at the rest
            one.cancel()


class Newsroom:
    """All feeds.

    Args:
        settings: Which, and the limits.
    """

    def __init__(self, settings: Settings) -> None:
        self.sources = [Source(feed, settings) for feed in settings.feeds]
        self._turns = DeferredSemaphore(AT_ONCE)

    def of_category(self, category: str | None) -> list[Source]:
        """Return the feeds of a category, or all for None.

        Raises:
            ToolError: There is no such category.
        """
        chosen = [source for source in self.sources if category in (None, source.feed.category)]
        if not chosen:
            known = ", ".join(sorted({source.feed.category for source in self.sources}))
            raise ToolError(f"No feed has the category {category!r}; there are: {known}.")
        return chosen

    async def refresh(self, sources: Sequence[Source], clock: IReactorTime) -> list[str]:
        """Bring feeds up to date, several at once.

        Returns:
            What went wrong: the name of the feed, and why, for each that could not be read.

        Cancel: aborts all fetches.
        """
        problems = await all_of(self._in_turn(source, clock) for source in sources)
        return [problem for problem in problems if problem is not None]

    async def _in_turn(self, source: Source, clock: IReactorTime) -> str | None:
        async with self._turns:
            return await source.refresh(clock)


room = Newsroom(Settings())


def configure(settings: Mapping[str, Any]) -> None:
    """Take `[plugin.market_news]` of the configuration file; the server calls it before it serves the tools.

    Raises:
        PluginError: A key is missing or not known, or a value is not right.
    """
    global room
    values = dict(settings)
    if "feeds" in values:
        feeds = values["feeds"]
        if not isinstance(feeds, list) or not feeds:
            raise PluginError(f"feeds must be a list of tables, not {feeds!r}")
        values["feeds"] = [made(Feed, feed) for feed in feeds]
    room = Newsroom(made(Settings, values))


def made(kind: type[A], table: Mapping[str, Any]) -> A:
    """Make one of our classes from a table of the configuration file.

    Raises:
        PluginError: A key is missing or not known, or a value is not right.
    """
    keys = ", ".join(attribute.name for attribute in attrs.fields(kind))
    try:
        return kind(**table)
    except ValueError as error:
        raise PluginError(str(error)) from None
    except TypeError:
        raise PluginError(f"{table!r} has a wrong key or lacks one; there are {keys}") from None


# --- the tools


@tool(title="Market news", read_only=True, idempotent=True, open_world=True)
async def get_market_news(
    call: Call,
    limit: Annotated[int, Arg("The most items to return.", minimum=1, maximum=100)] = 10,
    category: Annotated[str | None, "Only feeds of this category, such as 'markets' or 'regulators'."] = None,
) -> News:
    """Return the newest financial news from public feeds, newest first, and say which feeds could not be read."""
    sources = room.of_category(category)
    problems = await room.refresh(sources, call.clock)
    items = newest_first(item for source in sources for item in source.items)
    return News(items=items[:limit], problems=problems)


@tool(title="Stream market news", read_only=True, idempotent=True, open_world=True)
async def stream_market_news(
    call: Call,
    symbol: Annotated[str, Arg("A ticker symbol or a company's name, as news write it.", min_length=1, max_length=50)],
    interval: Annotated[float, Arg("Seconds between two batches.", minimum=0.1, maximum=3600)] = 30.0,
    duration: Annotated[float, Arg("For how many seconds to watch.", minimum=0.1, maximum=86_400)] = 300.0,
) -> NewsWatch:
    """Watch public feeds for news about a company; each batch of new items is a progress notification, as JSON.

    The progress is the part of the duration that has passed. Feeds that can't be read are named in the batch. The
    result sums up what was sent.
    """
    await call.progress(0, 1, f"Watching {len(room.sources)} feeds for {symbol}")
    watch = Watch(room, symbol)
    started = call.clock.seconds()
    step, mark = 0, 0.0
    while mark < duration:
        passed = call.clock.seconds() - started
        step = max(step + 1, int(passed // interval) + 1)  # what a slow feed or reader made us miss is left out
        mark = min(step * interval, duration)
        await call.sleep(max(0.0, mark - passed))
        # A feed that fails is part of the batch. If the client goes away, the fetches are aborted with this await.
        await call.progress(mark / duration, 1, await watch.batch(call.clock))
    return watch.summary()


class Watch:
    """What one stream has sent so far.

    Args:
        room: Where the news are.
        symbol: What they are to be about.
    """

    def __init__(self, room: Newsroom, symbol: str) -> None:
        self._room = room
        self._symbol = symbol
        self._pattern = matcher(symbol)
        self._sent: set[str] = set()
        self._batches = 0
        self._last: deque[NewsItem] = deque(maxlen=100)
        self._problems: dict[str, None] = {}

    async def batch(self, clock: IReactorTime) -> str:
        """Refresh all feeds, and return the items that were not sent before, and what went wrong, as JSON.

        Cancel: aborts the fetches.
        """
        problems = await self._room.refresh(self._room.sources, clock)
        found = (item for source in self._room.sources for item in source.items if matches(item, self._pattern))
        items = newest_first(item for item in found if item.id not in self._sent)[:BATCH]
        self._batches += 1
        self._sent.update(item.id for item in items)
        self._last.extendleft(reversed(items))
        self._problems |= dict.fromkeys(problems)
        return json.dumps({"items": [attrs.asdict(item) for item in items], "problems": problems}, ensure_ascii=False)

    def summary(self) -> NewsWatch:
        """Sum it up."""
        return NewsWatch(
            symbol=self._symbol,
            batches=self._batches,
            matched=len(self._sent),
            items=list(self._last),
            problems=list(self._problems)[:100],
        )
