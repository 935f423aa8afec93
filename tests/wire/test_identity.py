"""Who is calling, on the wire: every door asks, credentials are read in one way, sessions belong to their caller."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mcpserve import Call, tool
from mcpserve.errors import IssuerUnavailable, ScopeMissing, Unproven
from mcpserve.policy.callers import Caller
from mcpserve.policy.challenges import Challenges
from mcpserve.policy.keys import ApiKey, KeyRing, make_key
from mcpserve.web.identity import Doorkeeper
from mcpserve.web.site import HttpLimits
from tests.wire.http import Peer
from tests.wire.server import LATEST_LEGACY, LEGACY, MODERN, Headers, Limits, Server, call_params, request
from tests.wire.tools import echo

URL = "https://mcp.example.org/.well-known/oauth-protected-resource/mcp"
ADA, ADAS_KEY = make_key("ada", now=0.0, groups=["ops"])
BOB, BOBS_KEY = make_key("bob", now=0.0)
OLD, OLD_KEY = make_key("old", now=0.0, expires=10.0)


@attrs.define
class FakeTokens:
    """Knows a few tokens; some of them only later."""

    asked: list[bytes] = attrs.field(factory=list)
    addresses: list[str] = attrs.field(factory=list)
    waiting: list[Deferred[Caller]] = attrs.field(factory=list)

    def verify(self, token: bytes, address: str) -> Caller | Deferred[Caller]:
        """See `Tokens.verify`."""
        self.asked.append(token)
        self.addresses.append(address)
        if token == b"good":
            return Caller(name="https://as.example|ada")
        if token == b"narrow":
            raise ScopeMissing("It lacks write", ("read", "write"), ("read", "extra"))
        if token == b"away":
            raise IssuerUnavailable("The issuer is away", 7)
        if token == b"later":
            self.waiting.append(Deferred())
            return self.waiting[-1]
        raise Unproven("It proves nothing")


@tool
def whoami(call: Call) -> str:
    """Say who is calling."""
    return f"{call.caller.name} {sorted(call.caller.groups)}"


@tool
async def forever(call: Call) -> None:
    """Wait."""
    await call.sleep(1e6)


def serve(*keys: ApiKey, tokens: FakeTokens | None = None, ring: bool = True, **more: Any) -> Server:
    """A server that asks."""
    challenges = Challenges(metadata={"/mcp": URL} if tokens is not None else {}, scopes=("read",))
    kept = KeyRing([ADA, BOB, OLD, *keys]) if ring else None

    def identity(clock: Clock) -> Doorkeeper:
        return Doorkeeper(clock, challenges, kept, tokens)

    return Server(echo, whoami, forever, identity=identity, **more)


@pytest.fixture
def tokens() -> FakeTokens:
    """Tokens of an issuer."""
    return FakeTokens()


@pytest.fixture
def server(tokens: FakeTokens) -> Server:
    """It takes keys and tokens."""
    return serve(tokens=tokens, http_sse=True)


def who(server: Server, headers: Headers) -> Any:
    """As whom a modern call gets in."""
    answer = server.call("whoami", headers=headers)
    assert answer.status == 200, answer.body
    return answer.json["result"]["content"][0]["text"]


def challenge(answer: Peer) -> str:
    """The challenge of a refusal, in the form that refusals have."""
    assert answer.type == "application/json"
    assert set(answer.json) == {"jsonrpc", "error"}
    assert answer.complete
    return answer.headers["www-authenticate"]


# --- without a credential

DOORS = [
    ("POST", "/mcp", {}, b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}'),
    ("POST", "/mcp/", {}, b""),
    ("POST", "/mcp", {"Content-Type": "text/plain"}, b"no JSON at all"),
    ("POST", "/mcp", {"MCP-Protocol-Version": MODERN}, b"{}"),
    *[
        ("POST", "/mcp", {"MCP-Protocol-Version": version}, b'{"jsonrpc":"2.0","id":0,"method":"initialize"}')
        for version in LEGACY
    ],
    ("GET", "/mcp", {"Accept": "text/event-stream"}, b""),
    ("GET", "/mcp", {"Accept": "text/event-stream", "Mcp-Session-Id": "x", "Last-Event-ID": "1"}, b""),
    ("HEAD", "/mcp", {}, b""),
    ("DELETE", "/mcp", {"Mcp-Session-Id": "x"}, b""),
    ("GET", "/sse", {"Accept": "text/event-stream"}, b""),
    ("POST", "/messages?sessionId=x", {}, b"{}"),
]


@pytest.mark.parametrize(("method", "path", "headers", "body"), DOORS)
def test_every_door_asks(server: Server, method: str, path: str, headers: Headers, body: bytes) -> None:
    """Spec: "authorization MUST be included in every HTTP request". Nothing else about the request is said before."""
    answer = server.http(method, headers, body, path=path)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == f'Bearer realm="mcpserve", scope="read", resource_metadata="{URL}"'
    assert server.leftovers() == []


def test_what_is_said_to_who_shows_nothing() -> None:
    """What to send; depending on what is taken."""
    for server, words in (
        (serve(), "send an API key as X-API-Key or Authorization: Bearer"),
        (serve(tokens=FakeTokens(), ring=False), "send an access token as Authorization: Bearer"),
        (serve(tokens=FakeTokens()), "an API key as X-API-Key or Authorization: Bearer or an access token"),
    ):
        assert words in server.modern("tools/list").json["error"]["message"]


def test_a_host_that_is_not_ours_comes_first(server: Server) -> None:
    """A page of a stranger does not even learn that somebody is asked."""
    answer = server.modern("tools/list", headers={"Host": "evil.example"})
    assert answer.status == 421
    assert "www-authenticate" not in answer.headers
    assert server.modern("tools/list", headers={"Origin": "https://evil.example"}).status == 403


# --- with one


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": ADAS_KEY},
        {"Authorization": f"Bearer {ADAS_KEY}"},
        {"Authorization": f"bearer   {ADAS_KEY} "},
        {"authorization": f"BEARER {ADAS_KEY}"},
        {"x-api-key": ADAS_KEY},
    ],
)
def test_the_ways_to_show_a_key(server: Server, tokens: FakeTokens, headers: Headers) -> None:
    """All the same; no issuer ever sees it."""
    assert who(server, headers) == "key:ada ['ops']"
    assert tokens.asked == []


def test_a_token(server: Server) -> None:
    """Only as a bearer token."""
    assert who(server, {"Authorization": "Bearer good"}) == "https://as.example|ada []"
    assert server.call("whoami", headers={"X-API-Key": "good"}).status == 401


@pytest.mark.parametrize("version", LEGACY)
def test_every_revision(server: Server, version: str) -> None:
    """A key in each request of a session."""
    shown = {"X-API-Key": ADAS_KEY}
    session_id = server.initialize(version, shown).headers["mcp-session-id"]
    headers = {**shown, "Mcp-Session-Id": session_id, "MCP-Protocol-Version": version}
    answer = server.post(request("tools/call", call_params("whoami")), headers)
    assert "key:ada ['ops']" in answer.body.decode()
    # the session alone is no credential
    assert server.post(request("ping"), {**headers, "X-API-Key": None}).status == 401


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"X-API-Key": ADAS_KEY[:-1]}, "not known here"),
        ({"X-API-Key": ""}, "not known here"),
        ({"X-API-Key": OLD_KEY}, "The API key .* of old has expired"),
        ({"Authorization": f"Bearer {OLD_KEY}"}, "has expired"),
        ({"Authorization": "Bearer mcps_"}, "not known here"),
        ({"Authorization": "Bearer bad"}, "It proves nothing"),
        ({"Authorization": "Bearer \xe4"}, "It proves nothing"),
    ],
)
def test_credentials_that_are_no_good(server: Server, headers: Headers, words: str) -> None:
    """401, with what is wrong, and no part of what was shown."""
    server.seconds(10)
    answer = server.call("whoami", headers=headers)
    assert answer.status == 401
    text = challenge(answer)
    assert 'error="invalid_token"' in text
    assert words.partition(".*")[2].strip() in text
    assert ADAS_KEY[20:40] not in text
    assert ADAS_KEY[20:40] not in answer.body.decode()


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Authorization": f"Basic {ADAS_KEY}"}, "The Authorization scheme 'Basic' is not taken"),
        ({"Authorization": f"DPoP {ADAS_KEY}"}, "scheme 'DPoP'"),
        ({"Authorization": f"{ADAS_KEY} x"}, "The Authorization scheme is not taken"),
        ({"Authorization": ADAS_KEY}, "No scheme is named"),
        ({"Authorization": ""}, "No scheme is named"),
        ({"Authorization": "Bearer"}, "No scheme is named"),
        ({"Authorization": f"Bearer\t{ADAS_KEY}"}, "No scheme is named"),
    ],
)
def test_other_schemes(server: Server, headers: Headers, words: str) -> None:
    """The scheme is named if it is one, what follows it is not."""
    answer = server.call("whoami", headers=headers)
    assert answer.status == 401
    assert "error=" not in challenge(answer)
    assert words in answer.json["error"]["message"]
    assert ADAS_KEY not in answer.body.decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": [f"Bearer {ADAS_KEY}", f"Bearer {BOBS_KEY}"]},
        {"Authorization": [f"Bearer {ADAS_KEY}"] * 2},
        {"X-API-Key": [ADAS_KEY, BOBS_KEY]},
        {"X-API-Key": ADAS_KEY, "Authorization": f"Bearer {BOBS_KEY}"},
        {"X-API-Key": ADAS_KEY, "Authorization": "Basic eA=="},
    ],
)
def test_two_credentials(server: Server, headers: Headers) -> None:
    """400 (RFC 6750, 3.1): a proxy in front of us may have checked the other one."""
    answer = server.call("whoami", headers=headers)
    assert answer.status == 400
    assert 'error="invalid_request"' in challenge(answer)


def test_other_headers_may_stand_twice(server: Server) -> None:
    """That says nothing about who is calling."""
    assert who(server, {"X-API-Key": ADAS_KEY, "X-Forwarded-For": ["a", "b"]}).startswith("key:ada")


def test_a_credential_in_the_url(server: Server) -> None:
    """Spec: "Access tokens MUST NOT be included in the URI query string"; the reason is said, the token is not."""
    answer = server.http("POST", {}, b"{}", path=f"/mcp?access_token={ADAS_KEY}")
    assert answer.status == 401
    assert "A credential in the URL is not read" in answer.json["error"]["message"]
    assert ADAS_KEY not in answer.body.decode()


def test_keys_where_only_tokens_are_taken(tokens: FakeTokens) -> None:
    """A key is not shown to the issuer by mistake."""
    server = serve(tokens=tokens, ring=False)
    for headers in ({"X-API-Key": ADAS_KEY}, {"Authorization": f"Bearer {ADAS_KEY}"}):
        answer = server.call("whoami", headers=headers)
        assert answer.status == 401
        assert "API keys are not taken here" in answer.json["error"]["message"]
    assert tokens.asked == []


def test_tokens_where_only_keys_are_taken() -> None:
    """They are taken for keys that nobody knows, and there is nothing to be discovered."""
    answer = serve().call("whoami", headers={"Authorization": "Bearer eyJ.e30.AAAA"})
    assert answer.status == 401
    assert "resource_metadata" not in challenge(answer)


# --- scopes and issuers


@pytest.mark.parametrize(
    ("version", "scopes"), [(LATEST_LEGACY, "read write extra"), (None, "read write extra"), (MODERN, "read write")]
)
def test_the_step_up(server: Server, version: str | None, scopes: str) -> None:
    """403, with the scopes as the revision of the request wants them."""
    answer = server.post(request("tools/list"), {"Authorization": "Bearer narrow", "MCP-Protocol-Version": version})
    assert answer.status == 403
    text = challenge(answer)
    assert 'error="insufficient_scope"' in text
    assert f'scope="{scopes}"' in text
    assert f'resource_metadata="{URL}"' in text


def test_an_issuer_that_is_away(server: Server) -> None:
    """503: the token may be good, so that getting another would not help."""
    answer = server.call("whoami", headers={"Authorization": "Bearer away"})
    assert (answer.status, answer.headers["retry-after"]) == (503, "7")
    assert "www-authenticate" not in answer.headers


# --- waiting for an issuer


def test_a_request_waits(server: Server, tokens: FakeTokens) -> None:
    """Nothing is done until it is known whose it is."""
    answer = server.call("whoami", headers={"Authorization": "Bearer later"})
    assert not answer.answered
    tokens.waiting[0].callback(Caller(name="https://as.example|bob"))
    assert answer.json["result"]["content"][0]["text"] == "https://as.example|bob []"


def test_a_request_that_waited_in_vain(server: Server, tokens: FakeTokens) -> None:
    """It is refused as others are."""
    answer = server.call("whoami", headers={"Authorization": "Bearer later"})
    tokens.waiting[0].errback(Unproven("It was revoked"))
    assert answer.status == 401
    assert 'error_description="It was revoked"' in challenge(answer)


@pytest.mark.parametrize("good", [True, False])
def test_a_client_that_leaves_meanwhile(server: Server, tokens: FakeTokens, good: bool) -> None:
    """Nothing is done for nobody."""
    answer = server.call("whoami", headers={"Authorization": "Bearer later"})
    answer.drop()
    if good:
        tokens.waiting[0].callback(Caller(name="x"))
    else:
        tokens.waiting[0].errback(Unproven("no"))
    assert answer.arrived == b""
    assert server.leftovers() == []


def test_a_fault_while_it_waits(server: Server, tokens: FakeTokens, flush_logged_errors: Any) -> None:
    """Nobody gets in by a fault of ours; it is logged, and answered."""
    answer = server.call("whoami", headers={"Authorization": "Bearer later"})
    tokens.waiting[0].errback(ZeroDivisionError("oops"))
    assert answer.status == 500
    assert b"oops" not in answer.body
    assert len(flush_logged_errors(ZeroDivisionError)) == 1


# --- what belongs to a caller


def test_a_session_of_another(server: Server) -> None:
    """Its id is as good as an unknown one, with each method; the session lives on."""
    session_id = server.initialize(LATEST_LEGACY, {"X-API-Key": ADAS_KEY}).headers["mcp-session-id"]

    def answers(id: str) -> list[tuple[int, bytes]]:
        headers = {"X-API-Key": BOBS_KEY, "Mcp-Session-Id": id, "MCP-Protocol-Version": LATEST_LEGACY}
        listening = {**headers, "Accept": "text/event-stream"}
        found = [
            server.post(request("ping"), headers),
            server.post({"jsonrpc": "2.0", "method": "notifications/initialized"}, headers),
            server.http("GET", listening),
            server.http("GET", {**listening, "Last-Event-ID": "1"}),
            server.http("DELETE", headers),
        ]
        return [(one.status, one.body) for one in found]

    assert answers(session_id) == answers("A" * len(session_id))
    mine = {"X-API-Key": ADAS_KEY, "Mcp-Session-Id": session_id, "MCP-Protocol-Version": LATEST_LEGACY}
    assert server.post(request("ping"), mine).status == 200


def test_a_stream_of_another(server: Server) -> None:
    """HTTP with SSE: who does not own the stream can say nothing into it."""
    stream = server.http(
        "GET", {"Accept": "text/event-stream", "X-API-Key": ADAS_KEY}, path="/sse", peer=server.connect(1024)
    )
    path = str(stream.events[0].data)
    foreign = server.http("POST", {"X-API-Key": BOBS_KEY}, b"{}", path=path)
    unknown = server.http("POST", {"X-API-Key": BOBS_KEY}, b"{}", path="/messages?sessionId=unknown")
    assert (foreign.status, foreign.body) == (unknown.status, unknown.body)
    assert foreign.status == 404
    stream.drop()


def test_keys_are_replaced(server: Server) -> None:
    """From the next request on, on connections that are open, too."""
    peer = server.connect()
    assert server.call("whoami", headers={"X-API-Key": BOBS_KEY}, peer=peer).status == 200
    keeper = server.admission.identity
    assert isinstance(keeper, Doorkeeper)
    keeper.keys = KeyRing([ADA])
    peer.arrived = b""
    assert server.call("whoami", headers={"X-API-Key": BOBS_KEY}, peer=peer).status == 401


def test_who_is_expelled(server: Server) -> None:
    """What runs for this caller ends, in all forms; nothing of anybody else."""
    ada, bob = {"X-API-Key": ADAS_KEY}, {"X-API-Key": BOBS_KEY}
    accept = {"Accept": "text/event-stream"}

    def streams(headers: Headers) -> list[Peer]:
        return [
            server.listen({"toolsListChanged": True}, headers=headers),
            server.call("forever", headers=headers),
            server.http("GET", {**headers, **accept}, path="/sse"),
        ]

    hers, his = streams(ada), streams(bob)
    idle = server.connect()
    server.site.expel({"key:ada"})
    server.turn()
    assert [peer.ended for peer in hers] == [["aborted"]] * 3
    assert [peer.ended for peer in [*his, idle]] == [[]] * 4
    assert len(server.calls.running) == 1
    server.site.expel({"key:bob"})
    server.turn()
    assert server.leftovers() == []


def test_who_is_expelled_with_a_key() -> None:
    """Where it was one of several, what runs by the others goes on."""
    other, others_key = make_key("ada", now=0.0)
    server = serve(other)
    revoked, kept = (server.call("forever", headers={"X-API-Key": key}) for key in (ADAS_KEY, others_key))
    server.site.expel({ADA.id})
    server.turn()
    assert (revoked.ended, kept.ended) == (["aborted"], [])


def test_bodies_of_who_waits_at_the_door(tokens: FakeTokens) -> None:
    """They share a bound, as nobody knows yet whose they are; small ones are always taken."""
    server = serve(tokens=tokens, limits=Limits(http=HttpLimits(bodies=300_000)))
    later, large = {"Authorization": "Bearer later"}, {"text": "x" * 100_000}
    peers = [server.call("echo", large, headers=later) for _ in range(3)]
    assert [peer.arrived[9:12] for peer in peers] == [b"", b"", b"503"]
    small = server.call("echo", {"text": "x"}, headers=later)
    assert small.arrived == b""
    for waiting in tokens.waiting:
        waiting.callback(Caller(name="ada"))
    assert [peer.status for peer in (*peers, small)] == [200, 200, 503, 200]
    assert server.site.arriving == 0


def test_where_a_token_comes_from(tokens: FakeTokens) -> None:
    """It is told to who asks the issuer, as limits count it: in IPv6 by the network."""
    server = serve(tokens=tokens)
    for address in ("192.0.2.1", "2001:db8::1"):
        server.call("whoami", headers={"Authorization": "Bearer good"}, peer=server.connect(address=address))
    assert tokens.addresses == ["192.0.2.1", "2001:db8::/64"]


def test_nobody_is_asked_by_default() -> None:
    """What is shown is not looked at then."""
    server = Server(echo, whoami)
    for headers in ({}, {"X-API-Key": "x", "Authorization": "y"}):
        assert who(server, headers) == "None []"
