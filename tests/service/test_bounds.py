"""From settings to bounds: shares where parties can be told apart, proxies and pages that fit together."""

from __future__ import annotations

import re
import resource
from pathlib import Path
from typing import Any

import pytest

from mcpserve.errors import ConfigurationError, Refusal
from mcpserve.service import bounds
from mcpserve.service.plugins import load
from mcpserve.service.settings import Settings, checked

ALL = ("tcp:8000",)


@pytest.mark.parametrize(
    ("settings", "apart"),
    [
        ({}, False),
        ({"listen": ("unix:/run/mcp.sock",)}, False),
        ({"listen": ("haproxy:tcp:8000:interface=127.0.0.1",)}, False),
        ({"listen": ALL}, True),
        ({"listen": ("haproxy:tcp:8000",)}, True),
        ({"trusted_proxies": ("127.0.0.1",)}, True),
        ({"keys": "keys.toml"}, True),
        ({"issuers": ("https://issuer.example.org",)}, True),
    ],
)
def test_shares(settings: dict[str, Any], apart: bool) -> None:
    """A tenth, where clients are not all one; none where they may be one proxy that nobody has told us of."""
    chosen = Settings(**settings, max_connections=500)
    assert bounds.call_limits(chosen).of_caller == (1000 if apart else None)
    assert bounds.subscription_limits(chosen).of_caller == (1000 if apart else None)
    assert bounds.crowd_limits(chosen).of_address == (50 if apart else None)


def test_shares_that_are_set() -> None:
    """They hold anywhere."""
    chosen = Settings(max_calls_of_caller=3, max_listeners_of_caller=4, max_connections_of_address=5)
    assert bounds.call_limits(chosen).of_caller == 3
    assert bounds.subscription_limits(chosen).of_caller == 4
    assert bounds.crowd_limits(chosen).of_address == 5
    assert bounds.share(Settings(listen=ALL), 5, 0) == 1, "never none at all"


def test_no_more_connections_than_files() -> None:
    """What the system lets us open bounds them, less what the server itself opens."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert bounds.crowd_limits(Settings(max_connections=50)).total == 50
    assert bounds.crowd_limits(Settings(max_connections=10**9)).total in (files - bounds.OWN_FILES, 10**9)


def test_the_public_url() -> None:
    """Its host and its origin are ours; its path is what the proxy takes away."""
    chosen = Settings(public_url="https://mcp.example.org:8443/tools/")
    origins = bounds.origins(chosen)
    origins.check(b"mcp.example.org:8443", b"https://mcp.example.org:8443")
    for host, origin in ((b"mcp.example.org", None), (b"localhost", b"http://mcp.example.org:8443")):
        with pytest.raises(Refusal):
            origins.check(host, origin)
    assert bounds.prefix(chosen) == "/tools"
    assert bounds.prefix(Settings()) == bounds.prefix(Settings(public_url="https://mcp.example.org")) == ""


@pytest.mark.parametrize("settings", [{"keys": "k"}, {"issuers": ("https://i",)}, {"public_url": "https://a"}])
def test_all_pages(settings: dict[str, Any]) -> None:
    """Only where that gives nothing away, and not together with cookies."""
    assert bounds.origins(Settings(allow_origins=("*",), **settings)).allow(b"https://any.example")
    with pytest.raises(ConfigurationError, match="cors_credentials"):
        bounds.origins(Settings(allow_origins=("*",), cors_credentials=True, **settings))
    with pytest.raises(ConfigurationError, match=r"allow_origins: .*needs keys or issuers"):
        bounds.origins(Settings(allow_origins=("*",)))


def test_the_proxy_protocol_needs_somebody_to_trust() -> None:
    """Else anybody could choose an address."""
    listen = ("haproxy:tcp:8000",)
    with pytest.raises(ConfigurationError, match="say in trusted_proxies from whom"):
        bounds.proxies(Settings(listen=listen))
    assert bounds.proxies(Settings(listen=listen, trusted_proxies=("10.0.0.0/8",))).trust("10.1.2.3")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("rate_per_address", "often", "rate_per_address: 'often' is no rate"),
        ("rate_per_caller", "10", "rate_per_caller: '10' is no rate"),
        ("tool_rates", ["x"], "tool_rates: 'x' is no rate of a tool"),
        ("trusted_proxies", ["proxy"], "trusted_proxies: 'proxy' is neither an address nor a network"),
    ],
)
def test_what_is_wrong_is_said_at_once(key: str, value: Any, said: str) -> None:
    """With the file, the key and the value."""
    with pytest.raises(ConfigurationError, match="^" + re.escape(f"server.toml: {said}")):
        checked(key, value, "server.toml")


def test_a_rate_of_no_tool(tmp_path: Path) -> None:
    """It would bound nothing: refused, with the names that there are."""
    with pytest.raises(ConfigurationError, match=r"tool_rates: there is no tool 'stretsh'; there are: .*echo"):
        load(Settings(tool_rates=("stretsh=1/minute",)))
    assert load(Settings(tool_rates=("echo=1/minute",)))
