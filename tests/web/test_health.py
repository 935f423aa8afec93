"""Health: asked by whoever, answered in one word each; with details where only the operator looks."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
import pytest
from twisted.internet.task import Clock

from mcpserve.policy.origins import Origins
from mcpserve.web.endpoint import site_refusal
from mcpserve.web.health import Health
from mcpserve.web.ops import OpsPages
from mcpserve.web.routing import RoutedResource
from mcpserve.web.site import McpSite
from tests.wire.http import Peer

METRICS = b"a_metric 1\n"


def ask(health: Health, path: str, method: str = "GET", host: str = "127.0.0.1", extra: str = "") -> Peer:
    """Send a request to the operator's port with this health."""
    pages = OpsPages(Origins(hosts=["ops.example"], any_address=True), lambda accept: (f"text/{accept}", METRICS))
    clock = Clock()
    resource = RoutedResource(pages.app, others=health.places())
    peer = Peer(McpSite(resource, clock=clock, refusal=site_refusal), clock)
    peer.send(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: plain\r\n{extra}\r\n".encode())
    return peer


@pytest.mark.parametrize("host", ["127.0.0.1", "whatever.example", "10.0.0.7:8000"])
def test_all_is_well(host: str) -> None:
    """Both say so, however the server is called."""
    for path in ("/health/live", "/health/ready"):
        peer = ask(Health(dict), path, host=host)
        assert (peer.status, peer.headers["cache-control"], orjson.loads(peer.body)) == (
            200,
            "no-store",
            {"status": "ok"},
        )


def test_reasons() -> None:
    """Strangers read a word for each; the process lives all the same."""
    health = Health(lambda: {"draining": "It stops.", "issuer": "https://secret.example is away"})
    peer = ask(health, "/health/ready")
    assert peer.status == 503
    assert orjson.loads(peer.body) == {"status": "unavailable", "reasons": ["draining", "issuer"]}
    assert ask(health, "/health/live").status == 200


def test_details() -> None:
    """The operator reads the sentences, and more."""
    details: Mapping[str, object] = {"uptime": 1.5}
    peer = ask(Health(lambda: {"draining": "It stops."}, lambda: details), "/health/ready")
    assert orjson.loads(peer.body) == {"status": "unavailable", "reasons": {"draining": "It stops."}, "uptime": 1.5}


def test_another_method() -> None:
    """405, which names those that there are; HEAD is GET without the body."""
    for path in ("/health/live", "/health/ready", "/metrics"):
        peer = ask(Health(dict), path, "POST", extra="Content-Length: 0\r\n")
        assert (peer.status, peer.headers["allow"]) == (405, "GET, HEAD")
        assert (ask(Health(dict), path, "HEAD").status, ask(Health(dict), path, "HEAD").body) == (200, b"")


def test_metrics() -> None:
    """They come in the form that is asked for."""
    peer = ask(Health(dict), "/metrics")
    assert (peer.status, peer.headers["content-type"], peer.body) == (200, "text/plain", METRICS)


@pytest.mark.parametrize(
    ("host", "extra", "status"),
    [
        ("ops.example:9464", "", 200),
        ("192.0.2.1:9464", "", 200),
        ("evil.example", "", 421),
        ("127.0.0.1", "Origin: https://evil.example\r\n", 403),
    ],
)
def test_pages_in_browsers(host: str, extra: str, status: int) -> None:
    """None that the operator did not name reads the metrics, by whatever name it comes."""
    assert ask(Health(dict), "/metrics", host=host, extra=extra).status == status


def test_another_path() -> None:
    """404 with a sentence that says what there is."""
    peer = ask(Health(dict), "/mcp")
    assert peer.status == 404
    assert b"/metrics, /health/live and /health/ready" in peer.body
