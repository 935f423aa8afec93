"""Through real proxies with the documented configurations: `pytest -m proxies`. It needs nginx and haproxy."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.interop.served import eventually
from tests.proxies.client import Client
from tests.proxies.conftest import PATIENCE, WAYS, Certificate, Way, ways

pytestmark = pytest.mark.proxies


def test_events_arrive_one_by_one(way: Way) -> None:
    """Each when it is said: nothing waits in a buffer for the next."""
    with way.connect() as client:
        reply = client.call("drip", number=5, interval=0.3)
        assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream")
        times, messages = zip(*reply.messages, strict=True)
    assert messages[-1]["result"]["content"][0]["text"] == "dripped"
    assert [message["params"]["progress"] for message in messages[:-1]] == [0, 1, 2, 3, 4]
    assert all(0.15 < later - earlier < 1.0 for earlier, later in pairwise(times)), times


def test_a_silent_stream_outlives_the_patience_of_the_proxy(way: Way) -> None:
    """The comments of keep-alive hold it."""
    with way.connect() as client:
        assert client.call("silent", seconds=3 * PATIENCE).text == "awake"


@pytest.mark.parametrize("tool", ["endless", "silent"])
def test_a_reset_reaches_the_tool(way: Way, tool: str) -> None:
    """Whether it streams or is silent: the client vanishes, the proxy passes it on, the call is cancelled."""
    way.notes.unlink(missing_ok=True)
    client = way.connect()
    if tool == "endless":
        next(client.call("endless").messages)
    else:
        # its head comes with the first comment
        client.call("silent", seconds=60)
    assert not way.noted(f"cancelled {tool}")
    client.reset()
    eventually("the tool hears of it", lambda: way.noted(f"cancelled {tool}"), 3.0)


def test_the_address_is_the_clients(way: Way) -> None:
    """Not the proxy's, and not one that the client makes up."""
    lies = {"X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1", "X-Real-IP": "192.0.2.1"}
    with way.connect("127.0.0.9") as client:
        assert client.call("seen").text == "127.0.0.9 0"
        assert client.call("seen", lies).text == "127.0.0.9 0"


def test_the_host_is_what_the_client_asked_for(way: Way) -> None:
    """Another name than ours is refused, through the proxy too, and in words; a lie about it changes nothing."""
    # 127.0.0.1 is a trusted proxy, and would be believed when it comes with the PROXY protocol
    with way.connect("127.0.0.9") as client:
        reply = client.call("seen", {"Host": "evil.example.net", "X-Forwarded-Host": "mcp.example.org"})
        assert reply.status == 421
        assert "evil.example.net" in reply.last()["error"]["message"]


def test_a_large_body_passes(way: Way) -> None:
    """As large as the server takes it; a larger one it refuses itself."""
    with way.connect() as client:
        assert client.call("seen", text="x" * 4_000_000).text.endswith(" 4000000")
    with way.connect() as client:
        reply = client.call("seen", text="x" * 4_500_000)
        assert reply.status == 413
        assert "error" in reply.last()


def test_many_requests_on_one_connection(way: Way) -> None:
    """The connection of the client is kept."""
    with way.connect() as client:
        for _ in range(20):
            assert client.call("seen").text == "127.0.0.1 0"


def test_without_keep_alive_the_proxy_gives_up(tmp_path: Path, certificate: Certificate) -> None:
    """The control: were it longer than the proxy's patience, the test above would fail."""
    with ways(tmp_path, certificate, "--keep-alive", "60") as found:
        for name in WAYS:
            way = found[name]
            with way.connect() as client:
                try:
                    reply = client.call("silent", seconds=3 * PATIENCE)
                except (ConnectionError, OSError):
                    continue
                assert reply.status == 504, name


def test_addresses_are_counted_one_by_one(tmp_path: Path, certificate: Certificate) -> None:
    """Three requests a minute are those of one client, and not of all behind the proxy."""
    with ways(tmp_path, certificate, "--rate-per-address", "3/minute") as found:
        for number, name in enumerate(WAYS):
            sources = f"127.0.1.{number}", f"127.0.2.{number}"
            for source in sources:
                assert [_status(found[name], source) for _ in range(4)] == [200, 200, 200, 429], name


def _status(way: Way, source: str) -> int:
    with Client(way.port, source) as client:
        reply = client.call("seen")
        if reply.status == 429:
            assert 1 <= int(reply.headers["retry-after"]) <= 20
        return reply.status
