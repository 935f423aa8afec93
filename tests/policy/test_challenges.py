"""Challenges: the status and the header that each situation and each revision has."""

from __future__ import annotations

import pytest

from mcpserve.errors import Refusal
from mcpserve.policy.challenges import Challenges

URL = "https://mcp.example.org/.well-known/oauth-protected-resource/mcp"
SSE_URL = "https://mcp.example.org/.well-known/oauth-protected-resource/sse"
WITH = Challenges(metadata={"/mcp": URL, "/sse": SSE_URL}, scopes=("read", "list"))


def header(refusal: Refusal) -> str:
    """The challenge."""
    assert set(refusal.headers) == {"WWW-Authenticate"}
    return refusal.headers["WWW-Authenticate"]


def test_without_a_credential() -> None:
    """No error code (RFC 6750, 3.1), but where the metadata is, and which scopes to ask for."""
    refusal = WITH.missing("Say who you are.")
    assert (refusal.status, refusal.message) == (401, "Say who you are.")
    assert header(refusal) == f'Bearer realm="mcpserve", scope="read list", resource_metadata="{URL}"'


def test_a_bad_credential() -> None:
    """The same, and what is wrong."""
    refusal = WITH.invalid("It has expired.")
    assert refusal.status == 401
    assert header(refusal) == (
        'Bearer realm="mcpserve", error="invalid_token", error_description="It has expired.", scope="read list", '
        f'resource_metadata="{URL}"'
    )


def test_two_credentials() -> None:
    """400; there is nothing to be got anew."""
    refusal = WITH.malformed("Two of them.")
    assert refusal.status == 400
    assert 'error="invalid_request"' in header(refusal)
    assert "scope=" not in header(refusal)


@pytest.mark.parametrize(
    ("revision", "scopes"),
    [
        (None, "write admin list read"),
        ("", "write admin list read"),
        ("2025-03-26", "write admin list read"),
        ("2025-06-18", "write admin list read"),
        ("2025-11-25", "write admin list read"),
        ("2026-07-28", "write admin"),
        ("nonsense", "write admin list read"),
    ],
)
def test_the_step_up(revision: str | None, scopes: str) -> None:
    """All that is needed at once; before 2026-07-28 with what the client has, which it would lose otherwise."""
    refusal = WITH.insufficient("More.", ["write", "admin"], {"read", "list"}, revision=revision)
    assert refusal.status == 403
    assert header(refusal) == (
        f'Bearer realm="mcpserve", error="insufficient_scope", error_description="More.", scope="{scopes}", '
        f'resource_metadata="{URL}"'
    )


def test_very_many_scopes() -> None:
    """A header that proxies refuse helps nobody: then only those that are needed."""
    granted = [f"scope-number-{n}" for n in range(500)]
    assert 'scope="write"' in header(WITH.insufficient("More.", ["write"], granted))


def test_each_path_has_its_metadata() -> None:
    """A client compares the resource with the URL that it knows."""
    assert SSE_URL in header(WITH.missing("Who?", "/sse"))
    assert URL in header(WITH.missing("Who?", "/mcp"))
    assert URL in header(WITH.missing("Who?", "/elsewhere"))


def test_without_an_authorization_server() -> None:
    """RFC 9110 wants a challenge with each 401; there is nothing to discover in it."""
    assert header(Challenges().missing("Who?")) == 'Bearer realm="mcpserve"'


@pytest.mark.parametrize("sentence", ['a "quoted" one', "back\\slash", "new\r\nX-Evil: 1", "Grüße", "\x00\x7f"])
def test_what_strangers_put_into_sentences(sentence: str) -> None:
    """It can end neither the string nor the header."""
    value = header(WITH.invalid(sentence))
    assert value.isascii()
    assert value.isprintable()
    assert "\\" not in value
    assert value.count('"') == 10
