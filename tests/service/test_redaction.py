"""What looks like a credential stands in no log."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.policy.keys import make_key
from mcpserve.service.redaction import MOST, redacted


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer s3cr3t.value-x", "s3cr3t"),
        ("authorization: basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("X-API-Key: abc123def", "abc123def"),
        ("{'x-api-key': 'abc123def'}", "abc123def"),
        ("Cookie: sid=abc123", "abc123"),
        ("GET https://host/x?access_token=abc123&y=1", "abc123"),
        ("client_secret='abc123'", "abc123"),
        ("password: hunter2", "hunter2"),
        ("can't reach https://user:hunter2@host/x", "hunter2"),
        ("token eyJhbGciOi.eyJzdWIi.c2lnbg is bad", "eyJzdWIi"),
        ("x=a.b-eyJhbGciOi.eyJzdWIi.c2lnbg.", "c2lnbg"),
        (r"'\neyJhbGciOi.eyJzdWIi.c2lnbg'", "eyJzdWIi"),
    ],
)
def test_secrets(text: str, secret: str) -> None:
    """It is gone, and something says so."""
    assert secret not in redacted(text)
    assert "[redacted]" in redacted(text)


def test_our_keys() -> None:
    """Of a key its public part stays, as that is how the operator finds it."""
    key = make_key("ada", now=0.0)[1]
    assert redacted(f"refused {key} again") == f"refused {key[:16]}[redacted] again"


@pytest.mark.parametrize(
    "text",
    ["The tool crunch failed", "3 tokens counted", "progress token 5", "at https://host:8000/mcp", "x" * 10_000],
)
def test_all_else(text: str) -> None:
    """It stays as it is."""
    assert redacted(text) == text


@given(st.text())
def test_any_text(text: str) -> None:
    """Nothing is raised, and what was redacted stays so."""
    assert redacted(redacted(text)) == redacted(text)


HOSTILE = ("-eyJ", "eyJa.", ".eyJ-", "a.", "://a:", "token ", "x_token_", "bearer\t", "cookie  ", "mcps_", "api_key'")


@pytest.mark.parametrize("piece", HOSTILE)
def test_no_text_makes_it_slow(piece: str) -> None:
    """It runs in the reactor, and the text of an exception may be what a stranger has sent."""
    began = time.process_time()
    redacted("secret " + piece * (MOST // len(piece) - 2))
    assert time.process_time() - began < 0.5


def test_what_is_too_long() -> None:
    """Its beginning and its end are there, and how much is not."""
    found = redacted("first " + "x" * (5 * MOST) + " Bearer s3cr3t" + "\n" + "y" * 100 + " last")
    assert found.startswith("first xxx")
    assert found.endswith("yyy last")
    assert "characters) ..." in found
    assert "s3cr3t" not in found
    assert len(found) <= MOST
