"""What is shown to servers, what is read of their challenges, and what nobody gets to see."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.client.credentials import (
    ApiKey,
    BearerToken,
    Challenge,
    Credentials,
    RequestFacts,
    Scheme,
    checked,
    from_environment,
    hidden,
    read_challenges,
)
from mcpserve.errors import ConfigurationError
from tests.client.network import Task

FACTS = RequestFacts(method="POST", url="https://server.example/mcp", attempt=1)
CHALLENGE = Challenge(status=401, url=FACTS.url, values=(), schemes=(), attempt=1)


def _headers(credentials: Credentials | None) -> Mapping[str, str]:
    assert credentials is not None
    found: Mapping[str, str] = Task(credentials.headers(FACTS)).result
    return found


def test_bearer_token() -> None:
    """A token stands in `Authorization`, and there is no second one."""
    token = BearerToken("abc.def-123~+/=")
    assert _headers(token) == {"Authorization": "Bearer abc.def-123~+/="}
    assert Task(token.challenged(CHALLENGE)).result is False


def test_api_key() -> None:
    """A key stands in the header that it belongs in, and there is no second one."""
    assert _headers(ApiKey("a key")) == {"X-API-Key": "a key"}
    assert _headers(ApiKey("k", header="api-key")) == {"api-key": "k"}
    assert Task(ApiKey("k").challenged(CHALLENGE)).result is False


@pytest.mark.parametrize("secret", ["", "a\nb", "a\r\nX: 1", "a\0", "\u00e4", " secret", "secret\n", "sec\x7fret"])
def test_secrets_that_do_not_fit(secret: str) -> None:
    """What can't stand in a header is refused, and not shown."""
    for make in (BearerToken, ApiKey):
        with pytest.raises(ConfigurationError) as raised:
            make(secret)
        assert not secret.strip() or secret.strip() not in str(raised.value)


def test_token_is_one_word() -> None:
    """Whoever hands over the whole header, or a file with its line end, is told."""
    with pytest.raises(ConfigurationError):
        BearerToken("Bearer abc")


def test_header_of_a_key() -> None:
    """It has to be a name."""
    with pytest.raises(ConfigurationError):
        ApiKey("k", header="X-Key: ")


def test_secrets_are_in_no_repr() -> None:
    """A log that shows credentials shows nothing."""
    for credentials in (BearerToken("hush-hush"), ApiKey("hush-hush")):
        assert "hush" not in f"{credentials!r} {credentials}"


def test_environment() -> None:
    """One of two variables; an empty one is none; both are a question."""
    assert from_environment({}) is None
    assert from_environment({"MCPSERVE_TOKEN": "", "MCPSERVE_API_KEY": ""}) is None
    assert _headers(from_environment({"MCPSERVE_TOKEN": "t", "MCPSERVE_API_KEY": ""})) == {"Authorization": "Bearer t"}
    assert _headers(from_environment({"MCPSERVE_API_KEY": "k"})) == {"X-API-Key": "k"}
    with pytest.raises(ConfigurationError, match="both"):
        from_environment({"MCPSERVE_TOKEN": "hush", "MCPSERVE_API_KEY": "k"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Bearer", [Scheme("bearer", {})]),
        ("Basic, BEARER", [Scheme("basic", {}), Scheme("bearer", {})]),
        ('Bearer realm="x"', [Scheme("bearer", {"realm": "x"})]),
        ('Bearer Realm = "a \\"b\\", c" , scope=x', [Scheme("bearer", {"realm": 'a "b", c', "scope": "x"})]),
        (
            'Bearer resource_metadata="https://a/b?c=d, e", error="invalid_token", DPoP algs="ES256 PS256"',
            [
                Scheme("bearer", {"resource_metadata": "https://a/b?c=d, e", "error": "invalid_token"}),
                Scheme("dpop", {"algs": "ES256 PS256"}),
            ],
        ),
        ("Negotiate YWJj==, Basic realm=x", [Scheme("negotiate", {}, "YWJj=="), Scheme("basic", {"realm": "x"})]),
        (', , Bearer a="1", ,b=2', [Scheme("bearer", {"a": "1", "b": "2"})]),
        ('Bearer scope=""', [Scheme("bearer", {"scope": ""})]),
        ("Bearer a=1, a=2", [Scheme("bearer", {"a": "1"})]),
        ('realm="x"', []),
        ("", []),
        ('Bearer realm="open', [Scheme("bearer", {})]),
    ],
)
def test_challenges(value: str, expected: list[Scheme]) -> None:
    """They are read as the grammar says; of what is wrong, as far as it is right."""
    assert list(read_challenges([value])) == expected


def test_challenges_in_several_headers() -> None:
    """Each header has challenges of its own."""
    assert [scheme.name for scheme in read_challenges(["Basic", "Bearer a=b"])] == ["basic", "bearer"]


@given(st.lists(st.sampled_from(["Bearer", " ", ",", "=", '"', "\\", "a", "realm", "==", "\t", "\u00e4"]), max_size=40))
def test_challenges_of_any_kind(parts: list[str]) -> None:
    """Whatever a server sends, reading it ends, and without an error."""
    read_challenges(["".join(parts)])


def test_hidden_secrets() -> None:
    """A secret is taken out with its scheme or without; a short one is a word, and stays."""
    text = "You sent Bearer token-1 (token-1) and key-of-2, ok"
    assert hidden(text, ["Bearer token-1", "key-of-2", "ok"]) == "You sent [secret] ([secret]) and [secret], ok"
    assert hidden(text, []) == text
    assert hidden("token-1-and-more", ["token-1", "token-1-and-more"]) == "[secret]"


def test_headers_of_the_user() -> None:
    """They are taken as they are, or not at all."""
    assert checked({"X-A": "b \u00e4\tc", "X-B": ""}) == {"X-A": "b \u00e4\tc", "X-B": ""}
    for headers in ({"X A": "b"}, {"": "b"}, {"X-A": "hush\n"}, {"X-A": "hush\0"}):
        with pytest.raises(ConfigurationError) as raised:
            checked(headers)
        assert "hush" not in str(raised.value)
