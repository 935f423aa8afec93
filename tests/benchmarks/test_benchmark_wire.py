"""What the benchmarks send, and how they read what comes back."""

from __future__ import annotations

import json

import pytest

from benchmarks import calls, load

ECHO = calls.tool_call("echo", text="hello")
JSON_ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"result":{}}'
SSE_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(
    b"%x\r\n%b\r\n" % (len(part), part)
    for part in (b'data: {"method":""', b"}\r\n\r\n", b'data: {"result":{}}\n\n', b"")
)


def split(request: bytes) -> tuple[dict[str, str], dict[str, object]]:
    """The headers and the JSON of a request, with a number put in."""
    head, _, body = request.replace(calls.NUMBER.encode(), b"123456").partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert int(headers["Content-Length"]) == len(body)
    return headers, json.loads(body)


def test_a_modern_request_says_the_same_in_headers_and_metadata() -> None:
    """Version, method and name are mirrored, and the id is a number."""
    headers, message = split(calls.modern_request(8000, ECHO))
    assert (headers["MCP-Protocol-Version"], headers["Mcp-Method"], headers["Mcp-Name"]) == (
        "2026-07-28",
        "tools/call",
        "echo",
    )
    params = message["params"]
    assert isinstance(params, dict)
    assert params["_meta"]["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
    assert (message["id"], "progressToken" in params["_meta"]) == (123456, False)


def test_a_request_without_a_name_mirrors_none() -> None:
    """tools/list has no Mcp-Name."""
    headers, _ = split(calls.modern_request(8000, calls.Call(method="tools/list", params={})))
    assert "Mcp-Name" not in headers


def test_a_session_request_carries_the_session_and_the_token() -> None:
    """The progress token is the number of the request; nothing of the modern era is there."""
    headers, message = split(calls.session_request(8000, "abc", calls.tool_call("burst", progress=True, count=3)))
    assert (headers["Mcp-Session-Id"], headers["MCP-Protocol-Version"]) == ("abc", "2025-11-25")
    assert message["params"] == {"name": "burst", "arguments": {"count": 3}, "_meta": {"progressToken": 123456}}


def test_the_number_can_be_an_argument() -> None:
    """A tool is told which request it serves, as a number."""
    _, message = split(calls.modern_request(8000, calls.tool_call("hold", number=calls.NUMBER)))
    params = message["params"]
    assert isinstance(params, dict)
    assert params["arguments"] == {"number": 123456}


@pytest.mark.parametrize("raw", [JSON_ANSWER, SSE_ANSWER], ids=["json", "sse"])
def test_an_answer_is_there_when_its_last_byte_is(raw: bytes) -> None:
    """Each shorter piece gives nothing; the whole gives the last message and the size."""
    assert all(calls.parse_answer(raw[:size]) is None for size in range(len(raw)))
    answer = calls.parse_answer(raw)
    assert answer is not None
    assert (answer.status, answer.message, answer.size) == (200, {"result": {}}, len(raw))


def wrk_output(**changes: object) -> str:
    """What wrk prints, with our line at its end."""
    errors = {"connect": 0, "read": 0, "write": 0, "status": 0, "timeout": 0}
    report = {"requests": 1000, "bytes": 400_000, "elapsed": 2.0, "p50_ms": 1, "p99_ms": 2, "errors": errors, **changes}
    return f"Running 2s test\n  1 threads\n{json.dumps(report)}\n"


def test_the_rate_is_requests_by_time() -> None:
    """Our line is found below the text of wrk."""
    report = load.read_wrk(wrk_output())
    assert (report["rps"], "errors" in report) == (500, False)


@pytest.mark.parametrize("changes", [{"errors": {"status": 3}}, {"errors": {"timeout": 1}}, {"requests": 0}])
def test_errors_of_wrk_fail_the_measurement(changes: dict[str, object]) -> None:
    """So does a run without a single answer."""
    with pytest.raises(load.LoadError):
        load.read_wrk(wrk_output(**changes))


def test_an_error_of_streams_fails_the_measurement() -> None:
    """Its first error is told."""
    with pytest.raises(load.LoadError, match="events are missing"):
        load.read_streams('{"open": 3}\n{"events": 5, "errors": 1, "first_error": "events are missing"}\n')


def test_the_last_line_of_streams_is_its_report() -> None:
    """What it said while it ran is passed over."""
    assert load.read_streams('{"open": 3}\n{"events": 5, "errors": 0, "first_error": ""}\n') == {"events": 5}


@pytest.mark.parametrize("size", [400, 395, 390])
def test_answers_of_the_right_size_pass(size: int) -> None:
    """Some bytes may belong to answers that were on their way at the end."""
    load.check_size({"requests": 1000, "bytes": 400_000}, size=size, connections=10)


@pytest.mark.parametrize("size", [300, 500])
def test_answers_of_another_size_fail(size: int) -> None:
    """A tool that answers with an error is as quick as you like, and shorter."""
    with pytest.raises(load.LoadError):
        load.check_size({"requests": 1000, "bytes": 400_000}, size=size, connections=10)
