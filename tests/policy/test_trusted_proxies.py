"""What proxies say, and whom it is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.errors import ConfigurationError, Refusal
from mcpserve.policy.proxies import Forwarding, Proxies, Seen, group, normal

PROXY, CLIENT, LIE = "10.0.0.1", "192.0.2.7", "203.0.113.9"


def see(
    peer: str | None = PROXY, host: bytes = b"inner", trusted: tuple[str, ...] = ("10.0.0.0/8",), **said: str | None
) -> Seen:
    """What is seen of a request."""
    headers = {name: text.encode() for name, text in said.items() if text is not None}
    return Proxies(trusted).see(peer, host, Forwarding(**headers))


@pytest.mark.parametrize(
    ("chain", "address"),
    [
        (CLIENT, CLIENT),
        (f"{LIE}, {CLIENT}", CLIENT),
        (f"{LIE}, {CLIENT}, 10.0.0.2", CLIENT),
        (f"{LIE},{CLIENT},10.0.0.3 , 10.0.0.2", CLIENT),
        (f"10.0.0.9, {CLIENT}", CLIENT),
        ("10.0.0.9, 10.0.0.8", "10.0.0.9"),
        (f"{LIE}, unknown", PROXY),
        (f"{LIE}, nonsense, 10.0.0.2", "10.0.0.2"),
        ("", PROXY),
        (f"{CLIENT}:4711", CLIENT),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:db8:0:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.7", CLIENT),
    ],
)
def test_x_forwarded_for_is_read_from_right_to_left(chain: str, address: str) -> None:
    """The first that is no trusted proxy is the client; what it claims itself stands further left."""
    assert see(x_for=chain) == Seen(address=address, host=b"inner", proxied=True)


@pytest.mark.parametrize(
    ("header", "seen"),
    [
        (f"for={CLIENT};host=mcp.example.org;proto=https", (CLIENT, b"mcp.example.org", "https")),
        (f'For="{CLIENT}:80" ; Proto=HTTP', (CLIENT, b"inner", "http")),
        (f'for={LIE};host=evil, for="[2001:db8::2]:1";host="good:8443"', ("2001:db8::2", b"good:8443", None)),
        (f"for={LIE};host=evil, for={CLIENT};host=good, for=10.0.0.2;host=inner2", (CLIENT, b"good", None)),
        (f"for={LIE}, for=_hidden", (PROXY, b"inner", None)),
        ("for=unknown;proto=ftp", (PROXY, b"inner", None)),
        ('for="192.0.2.7";by="a\\"b,c;d"', (CLIENT, b"inner", None)),
    ],
)
def test_forwarded_is_read_from_right_to_left(header: str, seen: tuple[str, bytes, str | None]) -> None:
    """RFC 7239, with quotes, ports, and names that proxies make up."""
    found = see(forwarded=header)
    assert (found.address, found.host, found.scheme) == seen


@pytest.mark.parametrize("header", ["for", "for=a for=b", 'for="open', "=x", "for=1,;,@"])
def test_a_malformed_header_is_refused(header: str) -> None:
    """Guessing would be a way in."""
    with pytest.raises(Refusal, match="RFC 7239") as caught:
        see(forwarded=header)
    assert caught.value.status == 400


def test_host_and_scheme() -> None:
    """As the nearest proxy says them; a scheme that is none is not believed."""
    found = see(x_for=CLIENT, x_host="evil.example.net, mcp.example.org", x_proto="http, https")
    assert (found.host, found.scheme) == (b"mcp.example.org", "https")
    assert see(x_for=CLIENT, x_proto="javascript").scheme is None


def test_a_client_can_not_choose_the_other_header() -> None:
    """A proxy passes on what it does not write. Two that disagree are a forgery."""
    with pytest.raises(Refusal, match="two different clients"):
        see(x_for=CLIENT, forwarded=f"for={LIE}")
    assert see(forwarded=f"for={CLIENT}", x_host="evil", x_proto="https") == see(forwarded=f"for={CLIENT}")


@pytest.mark.parametrize(
    ("host", "x_host"), [("evil", None), (None, "evil"), ("inner", "evil"), ("evil", "inner"), ("evil", "mcp")]
)
def test_a_client_can_not_choose_the_host(host: str | None, x_host: str | None) -> None:
    """Neither another one, nor that what the proxy says of it does not count."""
    forwarded = f"for={CLIENT}" + (f";host={host}" if host is not None else "")
    with pytest.raises(Refusal, match="two different Hosts"):
        see(x_for=CLIENT, forwarded=forwarded, x_host=x_host)


@pytest.mark.parametrize(("host", "x_host"), [("mcp", "mcp"), ("inner", "inner"), ("inner", None), (None, "inner")])
def test_a_proxy_that_writes_both(host: str | None, x_host: str | None) -> None:
    """It says the same twice, or what the connection says."""
    forwarded = f"for={CLIENT}" + (f";host={host}" if host is not None else "")
    found = see(x_for=CLIENT, forwarded=forwarded, x_host=x_host)
    assert (found.address, found.host) == (CLIENT, (host or x_host or "").encode())


def test_too_many_hops() -> None:
    """A header that is long for no honest reason is not read to its end."""
    for said in ({"x_for": ", ".join(["10.0.0.1"] * 40)}, {"forwarded": ", ".join(["for=10.0.0.1"] * 40)}):
        with pytest.raises(Refusal, match="40 proxies"):
            see(**said)


def test_who_is_trusted() -> None:
    """Addresses, networks of both kinds, and the UNIX socket."""
    proxies = Proxies(["192.0.2.1", "10.0.0.0/8", "2001:db8::/32", "unix"])
    assert all(map(proxies.trust, ["192.0.2.1", "10.255.0.1", "2001:db8::5", "::ffff:10.0.0.1", None]))
    assert not any(map(proxies.trust, ["192.0.2.2", "11.0.0.1", "2001:db9::5", "nonsense", ""]))
    assert not Proxies().trust("127.0.0.1")
    assert not Proxies(["127.0.0.1"]).trust(None)
    assert bool(proxies)
    assert not Proxies()


@pytest.mark.parametrize("text", ["proxy.example.org", "10.0.0.1/8", "10.0.0.0/33", "", "*"])
def test_what_is_no_network(text: str) -> None:
    """The setting and the value are named."""
    with pytest.raises(ConfigurationError, match=r"trusted_proxies: .*10\.0\.0\.0/8"):
        Proxies([text])


@pytest.mark.parametrize(
    ("address", "party"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("nonsense", "nonsense"),
        (None, "a UNIX socket"),
    ],
)
def test_parties(address: str | None, party: str) -> None:
    """An IPv6 subscriber has a whole /64, so that is one party."""
    assert group(address) == group(address) == party


@given(st.text(max_size=60), st.text(max_size=60))
def test_nothing_crashes(x_for: str, forwarded: str) -> None:
    """Whatever stands there, it is read or refused; an address that is found is one."""
    said = Forwarding(x_for=x_for.encode("utf-8"), forwarded=forwarded.encode("utf-8"))
    try:
        seen = Proxies(["10.0.0.0/8"]).see(PROXY, b"inner", said)
    except Refusal:
        return
    assert seen.address is not None
    assert normal(seen.address) == seen.address


@given(st.lists(st.ip_addresses(v=4).map(str), max_size=6), st.ip_addresses(v=4).map(str))
def test_no_client_can_choose_its_address(claims: list[str], client: str) -> None:
    """What a client claims in front does not matter, as the proxy appends what it sees."""
    proxies = Proxies([PROXY])
    seen = proxies.see(PROXY, None, Forwarding(x_for=", ".join([*claims, client]).encode()))
    assert seen.address == client or client == PROXY
