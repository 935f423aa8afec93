"""Requests of the client: what is on the wire, who sees what, where it leads, and how it ends."""

from __future__ import annotations

import gc
from collections.abc import Mapping

import attrs
import pytest

from mcpserve.client.answer import Inflow
from mcpserve.client.credentials import ApiKey, BearerToken, Challenge, Credentials, RequestFacts
from mcpserve.client.web import Answer
from mcpserve.errors import (
    AnswerTooLarge,
    ClientClosed,
    ConfigurationError,
    Refused,
    Unauthorized,
    Unreachable,
)
from tests.client.network import Task, answer, chunk, head, stream
from tests.client.setting import URL, Setting, Slow, events


@pytest.fixture
def setting() -> Setting:
    """A client with small limits."""
    return Setting()


# --- requests and whole bodies


def test_request_on_the_wire(setting: Setting) -> None:
    """A request is one write: the request line, Host, headers, the length, the body; no compression is asked for."""
    sending = setting.send(URL + "?a=b", b"[1]")
    assert not sending.done
    (request,) = setting.link.requests
    first, *lines = request.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert first == b"POST /mcp?a=b HTTP/1.1"
    assert sorted(lines) == [
        b"Accept: application/json, text/event-stream",
        b"Content-Length: 3",
        b"Host: server.example:8000",
    ]
    assert request.endswith(b"\r\n\r\n[1]")
    setting.close()


def test_no_length_without_a_body(setting: Setting) -> None:
    """A GET has neither body nor length."""
    setting.send(method="GET", body=None)
    assert b"Length" not in setting.link.asked
    setting.close()


def test_head_and_body(setting: Setting) -> None:
    """The head is there before the body is; the body is waited for."""
    sending = setting.send()
    setting.link.say(head("Content-Length: 4", "Mcp-Session-Id: s1", type="Application/JSON; charset=utf-8"))
    received: Answer = sending.result
    assert (received.status, received.media_type) == (200, "application/json")
    assert (received.header("mcp-session-id"), received.header("other")) == ("s1", None)
    reading = Task(received.whole())
    setting.link.say(b"[1", b"]")
    assert not reading.done
    setting.link.say(b"\n")
    assert reading.result == b"[1]\n"
    setting.close()


@pytest.mark.parametrize("step", [1, 3, 50, 1000])
def test_any_cut(setting: Setting, step: int) -> None:
    """However the bytes of an answer are cut, it is the same answer."""
    sending = setting.send()
    data = (
        b"HTTP/1.1 100 Continue\r\n\r\n" + stream("Connection: keep-alive") + chunk(b"abc") + chunk(b"d") + chunk(b"")
    )
    setting.link.say(*[data[at : at + step] for at in range(0, len(data), step)])
    assert Task(sending.result.whole()).result == b"abcd"
    setting.close()


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "405 No", "500 Oh", "202 Accepted", "204 None"])
def test_statuses_are_given_back(setting: Setting, status: str) -> None:
    """What other statuses mean is for others to say."""
    body = b"" if status.startswith("204") else b"text"
    found = setting.answered(answer(body, status=status) if body else head(status=status))
    assert found.status == int(status[:3])
    assert Task(found.whole()).result == body
    setting.close()


def test_header_that_is_no_utf8(setting: Setting) -> None:
    """A header with bytes that are no UTF-8 is read with replacements, and stands in nobody's way."""
    sending = setting.send()
    setting.link.say(answer(b"{}").replace(b"\r\n\r\n", b"\r\nX-A: \xe4\r\nSet-Cookie: \xe4=1\r\n\r\n"))
    assert sending.result.header("X-A") == "\ufffd"
    setting.close()


def test_body_too_large(setting: Setting) -> None:
    """A body past the limit ends with an error, before it is read if its length was told."""
    told = setting.answered(head("Content-Length: 1001"))
    assert isinstance(Task(told.whole()).error, AnswerTooLarge)
    assert setting.link.aborted
    setting.network.turn()
    endless = setting.answered(stream())
    reading = Task(endless.whole())
    setting.link.say(chunk(b"x" * 600))
    assert not reading.done
    setting.link.say(chunk(b"x" * 600))
    assert isinstance(reading.error, AnswerTooLarge)
    assert setting.link.aborted
    setting.close()


def test_endless_body_that_nobody_reads(setting: Setting) -> None:
    """Until somebody wants the body, no more than the buffer's worth of it is read."""
    found = setting.answered(head("Transfer-Encoding: chunked"))
    for _ in range(100):
        setting.link.say(chunk(b"x" * 50))
    assert setting.link.paused
    assert setting.link.unread > 4500
    found.abort()
    setting.close()


# --- closing


def test_close_while_all_is_going_on() -> None:
    """Who waits when the client is closed is told, at every stage, and nothing is left."""
    setting = Setting(hold=True)
    reading, sending, connecting = setting.send(), setting.send(), setting.send()
    setting.network.accept().say(stream())
    setting.network.accept()
    waiting = Task(reading.result.next_event())
    setting.close()
    for task in (waiting, sending, connecting):
        assert isinstance(task.error, ClientClosed)
    assert isinstance(setting.send().error, ClientClosed)
    setting.close()


def test_close_while_credentials_are_made() -> None:
    """A request whose credentials come after the end is not sent."""
    slow = Slow()
    setting = Setting(credentials=slow)
    sending = setting.send()
    setting.close()
    slow.ready.callback({})
    assert isinstance(sending.error, ClientClosed)
    assert setting.network.links == []


def test_nothing_is_kept_of_an_answer(setting: Setting) -> None:
    """Answers that were read are not held by the client."""
    Task(setting.answered(answer()).whole())
    gc.collect()
    before = sum(isinstance(one, (Answer, Inflow)) for one in gc.get_objects())
    for _ in range(20):
        Task(setting.answered(answer()).whole())
    gc.collect()
    assert sum(isinstance(one, (Answer, Inflow)) for one in gc.get_objects()) <= before
    setting.close()


# --- redirects


def _redirect(location: str, status: str = "307 Temporary Redirect") -> bytes:
    return answer(b"", f"Location: {location}", status=status)


@pytest.mark.parametrize("status", ["307 Temporary Redirect", "308 Permanent Redirect"])
@pytest.mark.parametrize("location", ["/mcp/", "http://SERVER.example:8000/mcp/", "mcp/"])
def test_redirect_within_the_origin(status: str, location: str) -> None:
    """The same request is made there, with its secrets."""
    setting = Setting(credentials=BearerToken("token-of-mine"))
    sending = setting.send()
    setting.link.say(_redirect(location, status))
    setting.network.link.say(answer(b"[]"))
    assert Task(sending.result.whole()).result == b"[]"
    requests = [request for link in setting.network.links for request in link.requests]
    assert [request.split(b" ")[1] for request in requests] == [b"/mcp", b"/mcp/"]
    assert all(b"Authorization: Bearer token-of-mine" in request for request in requests)
    assert all(request.endswith(b"{}") for request in requests)
    setting.close()


@pytest.mark.parametrize(
    ("location", "status"),
    [
        ("https://server.example:8000/mcp", "307 Temporary Redirect"),
        ("http://server.example:8001/mcp", "307 Temporary Redirect"),
        ("http://other.example:8000/mcp", "308 Permanent Redirect"),
        ("//other.example/mcp", "308 Permanent Redirect"),
        ("/mcp/", "301 Moved"),
        ("/mcp/", "302 Found"),
        ("/mcp/", "303 See Other"),
    ],
)
def test_redirect_that_is_not_followed(location: str, status: str) -> None:
    """Not to another origin, nor with another method; the origin is named, and gets to see nothing."""
    setting = Setting(credentials=BearerToken("token-of-mine"), headers={"X-Mine": "mine"})
    sending = setting.send()
    setting.link.say(_redirect(location, status))
    assert isinstance(sending.error, Refused)
    assert sending.error.status == int(status[:3])
    assert ("other.example" in str(sending.error)) == ("other" in location)
    assert len(setting.network.links) == 1
    setting.close()


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://[", "http://a b/"])
def test_redirect_to_nonsense(setting: Setting, location: str) -> None:
    """A place that can't be asked is refused as the server's fault, not the user's."""
    sending = setting.send()
    setting.link.say(_redirect(location))
    assert isinstance(sending.error, Refused)
    setting.close()


def test_redirects_without_end(setting: Setting) -> None:
    """Five in a row, and no more."""
    sending = setting.send()
    for _ in range(6):
        assert not sending.done
        setting.network.link.say(_redirect("/mcp"))
    assert isinstance(sending.error, Refused)
    assert sum(len(link.requests) for link in setting.network.links) == 6
    setting.close()


def test_redirect_without_a_location(setting: Setting) -> None:
    """That is a status like others."""
    assert setting.answered(answer(b"", status="307 Temporary Redirect")).status == 307
    setting.close()


# --- URLs


@pytest.mark.parametrize(
    "url", ["ftp://a/", "server.example/mcp", "http://", "", "http://user:pw@a/", "http://a:port/", "http://a\r\nb/"]
)
def test_urls_that_cannot_be_asked(setting: Setting, url: str) -> None:
    """They are the user's mistake, and told at once."""
    problem = setting.send(url).error
    assert isinstance(problem, ConfigurationError)
    assert "pw" not in str(problem)
    setting.close()


def test_urls_of_the_world(setting: Setting) -> None:
    """Names and paths are brought into the form of the wire."""
    setting.send("http://b\u00fccher.example/\u00e4 b?q=\u00fc#fragment")
    assert setting.link.target.host == "xn--bcher-kva.example"
    assert setting.link.asked.startswith(b"POST /%C3%A4%20b?q=%C3%BC HTTP/1.1\r\nHost: xn--bcher-kva.example\r\n")
    setting.send("http://[::1]:9/x")
    assert (setting.link.target.host, setting.link.target.port) == ("::1", 9)
    assert b"Host: [::1]:9\r\n" in setting.link.asked
    setting.send("http://my_service:80/x")
    assert setting.link.target.host == "my_service"
    setting.send("http://a")
    assert setting.link.asked.startswith(b"POST / HTTP/1.1\r\nHost: a\r\n")
    setting.close()


# --- secrets


@attrs.define
class Learning:
    """Credentials that have a new token after each challenge, so many times."""

    times: int
    seen: list[Challenge] = attrs.Factory(list)
    facts: list[RequestFacts] = attrs.Factory(list)

    async def headers(self, request: RequestFacts) -> Mapping[str, str]:
        """The token of this attempt."""
        self.facts.append(request)
        return {"Authorization": f"Bearer token-{len(self.seen)}"}

    async def challenged(self, challenge: Challenge) -> bool:
        """Make a new one."""
        self.seen.append(challenge)
        return len(self.seen) <= self.times


UNAUTHORIZED = answer(
    b'{"error": "who are you?"}',
    'WWW-Authenticate: Bearer realm="a, b", scope="x"',
    "WWW-Authenticate: Basic",
    status="401 Unauthorized",
)


def test_challenge_that_is_met() -> None:
    """Credentials see the challenge, and the request is repeated with what they have then."""
    credentials = Learning(times=1)
    setting = Setting(credentials=credentials)
    sending = setting.send()
    setting.link.say(UNAUTHORIZED)
    assert not sending.done
    setting.link.say(answer(b"[]"))
    assert sending.result.status == 200
    assert [b"token-0" in setting.link.requests[0], b"token-1" in setting.link.requests[1]] == [True, True]
    (challenge,) = credentials.seen
    assert (challenge.status, challenge.url, challenge.attempt) == (401, URL, 1)
    assert [(scheme.name, dict(scheme.params)) for scheme in challenge.schemes] == [
        ("bearer", {"realm": "a, b", "scope": "x"}),
        ("basic", {}),
    ]
    assert [(facts.method, facts.attempt) for facts in credentials.facts] == [("POST", 1), ("POST", 2)]
    setting.close()


@pytest.mark.parametrize("status", [401, 403])
def test_challenges_without_end(status: int) -> None:
    """After three repetitions that is that."""
    credentials = Learning(times=100)
    setting = Setting(credentials=credentials)
    sending = setting.send()
    for _ in range(4):
        setting.network.link.say(UNAUTHORIZED.replace(b"401", b"%d" % status))
    assert isinstance(sending.error, Unauthorized)
    assert sending.error.status == status
    assert sending.error.challenges == ('Bearer realm="a, b", scope="x"', "Basic")
    assert "who are you?" in str(sending.error)
    assert sum(len(link.requests) for link in setting.network.links) == 4
    setting.close()


@pytest.mark.parametrize("credentials", [None, BearerToken("a-token"), ApiKey("a-key-of-mine")])
def test_static_credentials_are_refused(credentials: Credentials | None) -> None:
    """Who has nothing better to show is refused at once."""
    setting = Setting(credentials=credentials)
    sending = setting.send()
    setting.link.say(UNAUTHORIZED)
    assert isinstance(sending.error, Unauthorized)
    assert len(setting.link.requests) == 1
    setting.close()


def test_secrets_that_a_server_repeats() -> None:
    """What the server says goes into the error, on one line, but for our secrets."""
    setting = Setting(credentials=BearerToken("token-of-mine"), headers={"X-Other": "another secret"})
    sending = setting.send()
    body = b"Bearer token-of-mine?\r\n'token-of-mine' and\x1b[31m another secret!"
    setting.link.say(answer(body, status="403 Forbidden", type="text/plain"))
    assert str(sending.error).endswith("403: [secret]? '[secret]' and[31m [secret]!")
    setting.close()


@pytest.mark.parametrize(
    "data", [stream() + b"64\r\nx", head("Content-Length: 99999") + b"y" * 20_000, stream() + chunk(b"y" * 300)]
)
def test_refusal_with_a_body_that_does_not_end(setting: Setting, data: bytes) -> None:
    """What the server has to say is waited for a little, and read a little."""
    sending = setting.send()
    setting.link.say(data.replace(b"200 OK", b"401 No"))
    for _ in range(20):
        setting.wait(0.1)
        setting.link.say(b"x")
    setting.wait(0.1)
    assert isinstance(sending.error, Unauthorized)
    assert setting.link.aborted
    setting.close()


def test_secrets_are_for_one_origin() -> None:
    """Another origin than that of the first request is asked without credentials and headers; so is its challenge."""
    credentials = Learning(times=3)
    setting = Setting(credentials=credentials, headers={"X-Mine": "mine"})
    setting.send()
    assert b"X-Mine: mine\r\n" in setting.link.asked
    for url in ("http://server.example:8001/", "https://server.example:8000/", "http://other.example:8000/"):
        sending = setting.send(url)
        if url.startswith("https"):
            setting.link.protocol.handshakeCompleted()
        assert b"mine" not in setting.link.asked
        assert b"token" not in setting.link.asked
        setting.link.say(UNAUTHORIZED)
        assert isinstance(sending.error, Unauthorized)
    assert credentials.seen == []
    setting.close()


def test_secrets_are_for_the_origin_that_was_named() -> None:
    """Where the origin is named, the first request does not choose it."""
    setting = Setting(credentials=BearerToken("token-of-mine"), origin=URL)
    setting.send("http://other.example/")
    assert b"token" not in setting.link.asked
    setting.send()
    assert b"token" in setting.link.asked
    setting.close()


def test_own_headers_do_not_replace_the_protocols(setting: Setting) -> None:
    """What the caller of a request says counts more than what the user says for all, whatever the case."""
    setting = Setting(headers={"ACCEPT": "text/html", "X-Mine": "mine"})
    setting.send()
    assert b"text/html" not in setting.link.asked
    assert setting.link.asked.count(b"Accept") == 1
    setting.close()


@pytest.mark.parametrize("headers", [{"X-Mine": "mine\r\nX-Injected: 1"}, {"X-Mine": "mine\0"}, {"X Mine": "mine"}])
def test_headers_that_cannot_be_sent(headers: Mapping[str, str]) -> None:
    """They are the user's mistake, told at once and without their values."""
    with pytest.raises(ConfigurationError) as raised:
        Setting(headers=headers)
    assert "mine" not in str(raised.value).replace("X Mine", "")


def test_connection_is_free_with_the_last_byte(setting: Setting) -> None:
    """Who asks again when the last event has come, or gives up the answer, does so over the same connection."""
    found = setting.answered(stream())
    asked: list[Task] = []

    async def ask_again() -> None:
        assert (await found.next_event()).data == b"1"  # type: ignore[union-attr]
        asked.append(setting.send())
        found.abort()

    asking = Task(ask_again())
    setting.link.say(events("1") + chunk(b""))
    assert asking.result is None
    setting.link.say(answer(b"[]"))
    assert Task(asked[0].result.whole()).result == b"[]"
    assert len(setting.network.links) == 1
    setting.close()


def test_tls_is_agreed_on_first() -> None:
    """Over TLS nothing is said before it is agreed on, and the time for that counts as connecting."""
    setting = Setting(credentials=BearerToken("token-of-mine"))
    sending = setting.send("https://server.example/")
    assert setting.link.asked == b""
    setting.wait(11)
    assert sending.error.which == "connect"
    sending = setting.send("https://server.example/")
    setting.link.reset()
    assert isinstance(sending.error, Unreachable)
    sending = setting.send("https://server.example/")
    setting.link.protocol.handshakeCompleted()
    setting.link.say(answer(b"[]"))
    assert sending.result.status == 200
    setting.close()


def test_cookies_come_back(setting: Setting) -> None:
    """A balancer that sets a cookie finds it in the next requests."""
    Task(setting.answered(answer(b"{}", "Set-Cookie: node=7; Path=/")).whole())
    Task(setting.answered(answer(b"{}")).whole())
    assert [b"Cookie: node=7" in request for request in setting.link.requests] == [False, True]
    setting.close()


def test_a_request_with_a_cookie_is_the_same_otherwise(setting: Setting) -> None:
    """Whatever way it goes, a request says the same, and nothing of an answer that sets a cookie is lost."""
    first = setting.answered(answer(b'{"a": 1}', "Set-Cookie: node=7; Path=/", "X-Odd: 1"))
    assert (first.header("x-odd"), Task(first.whole()).result) == ("1", b'{"a": 1}')
    assert Task(setting.answered(answer(b"[]")).whole()).result == b"[]"
    before, after = setting.link.requests
    assert sorted(before.split(b"\r\n")) == sorted(after.replace(b"Cookie: node=7\r\n", b"").split(b"\r\n"))
    setting.close()


def test_what_is_sent_again_has_its_own_headers(setting: Setting) -> None:
    """Headers that were sent before are not written anew; others are."""
    for header in ("one", "one", "two"):
        Task(setting.web.send("POST", URL, {"X-Which": header}, b"{}"))
        setting.link.say(answer())
    assert [request.count(b"X-Which: one") for request in setting.link.requests] == [1, 1, 0]
    setting.close()
