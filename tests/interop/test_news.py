"""`curl -N` on stream_market_news, with a real feed on the loopback interface that gets a new item at each fetch."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.interop.raw import tool_call
from tests.interop.served import Served, eventually, serving
from tests.interop.test_curl import curl, messages

pytestmark = pytest.mark.interop

FEED = """<?xml version="1.0"?>
<rss version="2.0"><channel><title>Loopback wire</title>{items}</channel></rss>"""

ITEM = """<item><guid>{number}</guid><title>ACME news {number}</title><link>http://127.0.0.1/{number}</link></item>"""


class Wire(ThreadingHTTPServer):
    """A feed that has one item more each time it is asked; `asked` counts."""

    asked = 0

    def document(self) -> bytes:
        """The feed as it is now."""
        self.asked += 1
        return FEED.format(items="".join(ITEM.format(number=number) for number in range(1, self.asked + 1))).encode()


class Answer(BaseHTTPRequestHandler):
    """Answers with the feed."""

    server: Wire

    def do_GET(self) -> None:
        """Send the feed as it is now."""
        body = self.server.document()
        self.send_response(200)
        self.send_header("Content-Type", "application/rss+xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def wire() -> Iterator[Wire]:
    """The feed, served."""
    with Wire(("127.0.0.1", 0), Answer) as served:
        thread = Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield served
        served.shutdown()
        thread.join()


@pytest.fixture
def news(wire: Wire, tmp_path: Path) -> Iterator[Served]:
    """A server that is configured to read this feed alone."""
    config = tmp_path / "mcpserve.toml"
    url = f"http://127.0.0.1:{wire.server_port}/rss.xml"
    config.write_text(f'[[plugin.market_news.feeds]]\nname = "Wire"\nurl = "{url}"\n')
    with serving(tmp_path / "server.log", "--config", str(config)) as server:
        yield server


def test_batches_arrive_as_they_happen(news: Served) -> None:
    """A first progress comes at once, then at each interval what is new; the result sums it up."""
    arguments = {"symbol": "ACME", "interval": 0.4, "duration": 1.6}
    with curl(news.url, tool_call("stream_market_news", arguments, "t")) as process:
        *progress, (_, last) = list(messages(process))
    assert [message["params"]["progress"] for _, message in progress] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    batches = [json.loads(message["params"]["message"]) for _, message in progress[1:]]
    titles = [[item["title"] for item in batch["items"]] for batch in batches]
    assert titles == [[f"ACME news {number}"] for number in range(1, 5)]
    assert last["result"]["structuredContent"]["matched"] == 4
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(progress)]
    assert min(gaps) > 0.2, gaps


def test_killing_curl_stops_the_fetching(news: Served, wire: Wire) -> None:
    """When curl is killed, the feed is asked no more."""
    arguments = {"symbol": "ACME", "interval": 0.1, "duration": 3600}
    with curl(news.url, tool_call("stream_market_news", arguments, "t")) as process:
        stream = messages(process)
        for _ in range(3):
            next(stream)
    quiet = Quiet(wire)
    eventually("the feed is left alone for ten intervals", quiet, 10)


class Quiet:
    """Whether a feed was not asked between fifty looks at it, which are 20 ms apart."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._asked = -1
        self._looks = 0

    def __call__(self) -> bool:
        """Take a look."""
        self._looks = self._looks + 1 if self._wire.asked == self._asked else 0
        self._asked = self._wire.asked
        return self._looks >= 50
