"""Request metadata of both eras."""

from __future__ import annotations

from typing import Any

import pytest

from mcpserve.errors import InvalidParams, MalformedMetadata, UnsupportedVersion
from mcpserve.protocol.metadata import (
    CLIENT_CAPABILITIES,
    CLIENT_INFO,
    LOG_LEVEL,
    PROTOCOL_VERSION,
    RequestMetadata,
    claimed_revision,
    claims_revision,
    is_implementation,
    modern_metadata,
    modern_revision,
    progress_token,
    request_meta,
)
from mcpserve.protocol.revisions import LEGACY, V2026_07_28
from mcpserve.protocol.types import LOG_LEVELS, LogLevel

META = {PROTOCOL_VERSION: "2026-07-28", CLIENT_CAPABILITIES: {}}


@pytest.mark.parametrize(
    ("params", "claims"),
    [
        ({}, False),
        ({"_meta": None}, False),
        ({"_meta": []}, False),
        ({"_meta": {"progressToken": 1}}, False),
        ({"_meta": {PROTOCOL_VERSION: None}}, True),
        ({"_meta": META}, True),
    ],
)
def test_claims(params: dict[str, Any], claims: bool) -> None:
    """The presence of the key makes a message modern, whatever its value."""
    assert claims_revision(params) is claims


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, f"missing; it must carry {PROTOCOL_VERSION} and {CLIENT_CAPABILITIES}"),
        ({"_meta": []}, "must be an object"),
        ({"_meta": {}}, f"lacks {PROTOCOL_VERSION} and {CLIENT_CAPABILITIES}"),
        ({"_meta": {CLIENT_CAPABILITIES: {}}}, f"lacks {PROTOCOL_VERSION}$"),
        ({"_meta": {PROTOCOL_VERSION: 20260728}}, "must be a string"),
        ({"_meta": {PROTOCOL_VERSION: None}}, "must be a string"),
    ],
)
def test_a_claim_that_does_not_read(params: dict[str, Any], words: str) -> None:
    """The client learns which keys are missing, with 400: its envelope is at fault."""
    with pytest.raises(MalformedMetadata, match=words) as caught:
        claimed_revision(params)
    assert (caught.value.code, caught.value.status) == (-32602, 400)


def test_the_served_revision() -> None:
    """Only revisions without a handshake are served this way, and named as alternatives."""
    assert claimed_revision({"_meta": META}) == "2026-07-28"
    assert modern_revision("2026-07-28") is V2026_07_28
    for other in (*LEGACY, "2030-01-01", ""):
        with pytest.raises(UnsupportedVersion) as caught:
            modern_revision(other)
        assert caught.value.data == {"supported": ["2026-07-28"], "requested": other}


def test_all_that_a_modern_request_says() -> None:
    """Each member of the metadata comes from its key."""
    info = {"name": "probe", "version": "1"}
    meta = {**META, CLIENT_INFO: info, LOG_LEVEL: "notice", "progressToken": "t", "other": 1}
    known = modern_metadata(V2026_07_28, {"_meta": meta}, {"mcp-method": "x"})
    assert known.meta == meta
    assert known.progress_token == "t"
    assert known.log_level == "notice"
    assert known.client_info == info
    assert known.capabilities == {}
    assert known.mirrored == {"mcp-method": "x"}


def test_the_least_that_a_modern_request_says() -> None:
    """Client info, log level and progress token may be missing."""
    known = modern_metadata(V2026_07_28, {"_meta": META}, None)
    assert (known.client_info, known.log_level, known.progress_token, known.mirrored) == (None, None, None, None)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({CLIENT_CAPABILITIES: None}, "clientCapabilities must be an object"),
        ({CLIENT_CAPABILITIES: []}, "clientCapabilities must be an object"),
        ({CLIENT_INFO: None}, "clientInfo must be"),
        ({CLIENT_INFO: {"name": "a"}}, "clientInfo must be"),
        ({CLIENT_INFO: {"name": 1, "version": "1"}}, "clientInfo must be"),
        ({LOG_LEVEL: "loud"}, "must be one of debug, info"),
        ({LOG_LEVEL: None}, "must be one of"),
        ({LOG_LEVEL: ["info"]}, "must be one of"),
        ({"progressToken": 1.0}, "progressToken"),
        ({"progressToken": True}, "progressToken"),
        ({"progressToken": {}}, "progressToken"),
    ],
)
def test_what_is_malformed(more: dict[str, Any], words: str) -> None:
    """A field that is there but wrong is refused, also an optional one."""
    with pytest.raises(MalformedMetadata, match=words):
        modern_metadata(V2026_07_28, {"_meta": {**META, **more}}, None)


def test_capabilities_are_required() -> None:
    """ "The server MUST reject it with JSON-RPC error code -32602"."""
    with pytest.raises(MalformedMetadata, match="clientCapabilities"):
        modern_metadata(V2026_07_28, {"_meta": {PROTOCOL_VERSION: "2026-07-28"}}, None)


@pytest.mark.parametrize("token", [None, 0, -1, "", "t"])
def test_progress_tokens(token: Any) -> None:
    """Strings and integers are tokens, zero and the empty string too; null is none."""
    assert progress_token({"progressToken": token}) == token


def test_legacy_meta() -> None:
    """A legacy request may have no `_meta`, but not one that is no object."""
    assert request_meta({}) == {}
    assert request_meta({"_meta": {"a": 1}}) == {"a": 1}
    with pytest.raises(InvalidParams):
        request_meta({"_meta": None})


@pytest.mark.parametrize("value", [None, [], {}, {"name": "a"}, {"version": "1"}, {"name": "a", "version": 1}])
def test_what_is_no_implementation(value: Any) -> None:
    """A name and a version, both texts, make an implementation."""
    assert not is_implementation(value)
    assert is_implementation({"name": "a", "version": "1", "more": None})


# --- which log messages are wanted


class OfSession:
    """A session that wants warnings."""

    log_level: LogLevel = "warning"


@pytest.mark.parametrize(
    ("chosen", "session", "wanted"),
    [
        (None, None, 0),
        ("debug", None, 8),
        ("warning", None, 5),
        ("emergency", None, 1),
        (None, OfSession(), 5),
        ("debug", OfSession(), 5),
    ],
)
def test_the_log_messages_that_are_wanted(chosen: Any, session: Any, wanted: int) -> None:
    """Those of the level and above; none without a level; a session has its own."""
    known = RequestMetadata(revision=V2026_07_28, log_level=chosen, session=session)
    assert [level for level in LOG_LEVELS if known.wants_log(level)] == list(LOG_LEVELS[8 - wanted :])


def test_a_level_that_is_none() -> None:
    """It is an error of whoever logs, also where nobody listens."""
    for level in (None, "debug"):
        known = RequestMetadata(revision=V2026_07_28, log_level=level)  # type: ignore[arg-type]
        with pytest.raises(ValueError):
            known.wants_log("loud")  # type: ignore[arg-type]
