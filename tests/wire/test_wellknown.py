"""The documents that tell clients where tokens are to be had."""

from __future__ import annotations

from typing import Any

import pytest

from mcpserve.policy.origins import Origins
from mcpserve.web.admission import Admission
from mcpserve.web.endpoint import Endpoint, site_refusal
from mcpserve.web.routing import RoutedResource
from mcpserve.web.site import McpSite
from mcpserve.web.wellknown import ProtectedResource, WellKnown
from tests.wire.http import Peer
from tests.wire.server import Headers, Server, head
from tests.wire.tools import echo

ROOT = "/.well-known/oauth-protected-resource"
ISSUER = "https://as.example"


def resource(url: str, **more: Any) -> ProtectedResource:
    """A protected resource."""
    return ProtectedResource(url=url, issuers=(ISSUER,), **more)


class Site:
    """A server with the documents of these resources."""

    def __init__(self, **resources: ProtectedResource) -> None:
        server = Server(echo)
        admission = Admission(Origins())
        found = WellKnown({f"/{path}": one for path, one in resources.items()}, admission, lambda: f"{ISSUER}/meta")
        endpoint = Endpoint(server.dispatcher, admission, server.turns)
        routed = RoutedResource(endpoint.app, others=found.places())
        self._clock = server.clock
        self._site = McpSite(routed, clock=server.clock, refusal=site_refusal)

    def get(self, path: str, method: str = "GET", headers: Headers | None = None) -> Peer:
        """Ask for a path."""
        peer = Peer(self._site, self._clock)
        peer.send(head(method, path, {"Host": "localhost", **(headers or {})}))
        return peer


def test_the_document() -> None:
    """RFC 9728, 2: where tokens come from, and how they are shown; what is empty is left out."""
    site = Site(mcp=resource("https://mcp.example.org/mcp", scopes=("read",), name="kitchen"))
    assert site.get(ROOT + "/mcp").json == {
        "resource": "https://mcp.example.org/mcp",
        "authorization_servers": [ISSUER],
        "scopes_supported": ["read"],
        "bearer_methods_supported": ["header"],
        "resource_name": "kitchen",
    }
    assert "scopes_supported" not in Site(mcp=resource("https://mcp.example.org/mcp")).get(ROOT).json


@pytest.mark.parametrize(
    ("url", "paths"),
    [
        ("https://mcp.example.org/mcp", [ROOT, ROOT + "/mcp"]),
        ("https://example.org/tools/mcp", [ROOT, ROOT + "/mcp", ROOT + "/tools/mcp"]),
    ],
)
def test_where_it_is(url: str, paths: list[str]) -> None:
    """At the root, and at the path of the endpoint, as the world and as we know it; nowhere else."""
    one = resource(url)
    site = Site(mcp=one)
    for path in paths:
        answer = site.get(path)
        assert (answer.status, answer.json["resource"]) == (200, url)
    assert one.metadata_url == url.split("/", 3)[0] + "//" + url.split("/", 3)[2] + paths[-1]
    for path in (ROOT + "/other", ROOT + "/", ROOT + "x", ROOT + "/mcp/x"):
        assert site.get(path).status == 404


def test_each_path_has_its_own() -> None:
    """A client of HTTP with SSE knows another URL, and compares it; the root is about the endpoint."""
    site = Site(mcp=resource("https://h.example/mcp"), sse=resource("https://h.example/sse"))
    assert site.get(ROOT + "/sse").json["resource"] == "https://h.example/sse"
    assert site.get(ROOT).json["resource"] == "https://h.example/mcp"


def test_two_servers_in_one_process() -> None:
    """Each has its own documents."""
    one, other = Site(mcp=resource("https://one.example/mcp")), Site(mcp=resource("https://other.example/mcp"))
    assert one.get(ROOT).json["resource"] == "https://one.example/mcp"
    assert other.get(ROOT).json["resource"] == "https://other.example/mcp"


def test_clients_of_2025_03_26() -> None:
    """They look for the metadata of the authorization server here, and are led to it."""
    answer = Site(mcp=resource("https://h.example/mcp")).get("/.well-known/oauth-authorization-server")
    assert (answer.status, answer.headers["location"]) == (307, f"{ISSUER}/meta")


@pytest.mark.parametrize("path", [ROOT, ROOT + "/mcp", "/.well-known/oauth-authorization-server"])
def test_other_methods(path: str) -> None:
    """Only GET and HEAD."""
    site = Site(mcp=resource("https://h.example/mcp"))
    answer = site.get(path, "POST", {"Content-Length": "0"})
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert site.get(path, "HEAD").status in (200, 307)


def test_host_and_origin_are_looked_at() -> None:
    """As everywhere."""
    site = Site(mcp=resource("https://h.example/mcp"))
    assert site.get(ROOT, headers={"Host": "evil.example"}).status == 421
    assert site.get(ROOT, headers={"Origin": "https://evil.example"}).status == 403
