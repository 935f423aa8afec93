"""`mcpserve call`, with a client that says what the test wants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mcpserve.client.values import FormQuestion, LogMessage, PageQuestion, Progress
from mcpserve.errors import (
    AnswerLost,
    AnswerTooLarge,
    BadAnswer,
    ClientError,
    DeadlinePassed,
    Refused,
    RemoteError,
    Unauthorized,
    Unreachable,
)
from mcpserve.protocol.types import EmbeddedResource, Image, ResourceLink, Result, Text, ToolDefinition, Unknown
from tests.cli.stand_in import URL, StandIn, carry_out

ADD = ToolDefinition(
    name="add", input_schema={"type": "object", "properties": {"a": {"type": "number"}, "name": {"type": "string"}}}
)
EVIL = "\x1b[2Jgone\x9b\u202e"


def said(*events: Any, **options: Any) -> StandIn:
    """A server whose tool says this."""
    return StandIn(tools=[ADD], events=events, **options)


def lines(text: str) -> list[Any]:
    """The objects of JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def test_a_result_is_written_and_that_is_all() -> None:
    """Arguments have the types of the tool, and the client is closed."""
    client = said(Result(content=[Text("3")]))
    session = carry_out("call", URL, "add", "a=1", "name=2", client=client)
    assert (session.status, session.out.text, session.err.text) == (0, "3\n", "")
    assert client.calls == [("add", {"a": 1, "name": "2"})]
    assert client.closed


def test_what_comes_on_the_way_is_a_line_each() -> None:
    """In its order; nothing in it can forge another line, or steer a terminal."""
    client = said(
        Progress(1, 4, "one\nresult: forged"),
        LogMessage("warning", {"a": EVIL}, "part"),
        Progress(2.5),
        LogMessage("info", "text"),
        Result(content=[Text("done")]),
    )
    session = carry_out("call", URL, "add", client=client)
    assert session.out.text.splitlines() == [
        "[1/4] one\\nresult: forged",
        '[warning] part: {"a": "\\u001b[2Jgone\\x9b\\u202e"}',
        "[2.5]",
        "[info] text",
        "done",
    ]


def test_quiet_is_the_result_alone() -> None:
    """And the server is not asked for log messages."""
    client = said(Progress(1), LogMessage("info", "x"), Result(content=[Text("done")]))
    session = carry_out("call", URL, "add", "-q", client=client)
    assert session.out.text == "done\n"
    assert client.options["log_level"] is None
    assert carry_out("call", URL, "add", client=client).client.options["log_level"] == "info"


def test_json_lines() -> None:
    """One object each, with the names of the specification."""
    client = said(
        Progress(1, 2, "m"),
        LogMessage("info", [1], "part"),
        Result(content=[Text(EVIL), Image(b"\0", "image/png")], structured={"x": 1}),
    )
    session = carry_out("call", URL, "add", "--json-lines", client=client)
    assert lines(session.out.text) == [
        {"event": "progress", "value": 1, "total": 2, "message": "m"},
        {"event": "log", "level": "info", "logger": "part", "data": [1]},
        {
            "event": "result",
            "result": {
                "content": [
                    {"type": "text", "text": EVIL},
                    {"type": "image", "data": "AA==", "mimeType": "image/png"},
                ],
                "structuredContent": {"x": 1},
            },
        },
    ]
    assert not {"\x1b", "\x9b", "\u202e"} & set(session.out.text)


def test_a_tool_that_failed() -> None:
    """Says so where it is in nobody's way, and with a status of its own."""
    client = said(Result(content=[Text("no such city")], is_error=True))
    session = carry_out("call", URL, "add", client=client)
    assert (session.status, session.out.text, session.err.text) == (1, "", "no such city\n")
    session = carry_out("call", URL, "add", "--json-lines", client=client)
    assert session.status == 1
    assert lines(session.out.text)[0]["result"]["isError"] is True


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RemoteError(-32602, "Unknown tool: add", {"why": EVIL}), 3),
        (BadAnswer("no JSON"), 3),
        (Unreachable("refused"), 4),
        (DeadlinePassed("late", "total"), 4),
        (AnswerLost("broke off"), 4),
        (AnswerTooLarge("too large"), 4),
        (Refused("503", 503), 5),
        (Unauthorized("401", 401), 5),
    ],
)
def test_each_error_has_its_status(error: ClientError, status: int) -> None:
    """And is told in a sentence, or as an object."""
    session = carry_out("call", URL, "add", client=said(error))
    assert session.status == status
    assert session.err.text.startswith(f"mcpserve: {error}")
    assert "\x1b" not in session.err.text
    assert session.client.closed
    session = carry_out("call", URL, "add", "--json-lines", client=said(unreachable=error))
    told = lines(session.out.text)[-1]
    assert (told["event"], told["kind"], told["status"], session.status) == (
        "error",
        type(error).__name__,
        status,
        status,
    )
    assert told.get("code") == (-32602 if isinstance(error, RemoteError) else None)


def test_who_is_refused_is_told_of_credentials() -> None:
    """With the names of the options and variables."""
    session = carry_out("call", URL, "add", client=said(Unauthorized("401 Unauthorized", 401)))
    assert "MCPSERVE_TOKEN" in session.err.text


def test_arguments_in_json() -> None:
    """On the command line, in a file, or on standard input; words go on top."""
    client = said(Result())
    carry_out("call", URL, "add", "--json", '{"a": 1, "b": [2]}', "a=3", client=client)
    carry_out("call", URL, "add", "--json", "-", client=client, text='{"a": 4}')
    assert client.calls == [("add", {"a": 3, "b": [2]}), ("add", {"a": 4})]


def test_arguments_in_a_file(tmp_path: Path) -> None:
    """Its name follows an @."""
    (tmp_path / "a.json").write_text('{"a": 5}')
    client = said(Result())
    assert carry_out("call", URL, "add", "--json", f"@{tmp_path}/a.json", client=client).status == 0
    assert client.calls == [("add", {"a": 5})]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["a=x"], "a must be a number"),
        (["--json", "[1]"], "--json takes an object"),
        (["--json", "{"], "--json is not JSON"),
        (["--json", "@/no/such/file"], "can't read /no/such/file"),
        (["--output", "/no/such/directory/file"], "can't be a file"),
        (["--output", "/"], "can't be a file"),
        (["--answer", "x"], "--answer takes KEY=VALUE"),
        (["--header", "x"], "--header takes NAME:VALUE"),
        (["--token", "secret-word"], "--token takes env:NAME"),
        (["--token", "env:NOT_THERE"], "NOT_THERE is not set"),
    ],
)
def test_wrong_words_call_nothing(words: list[str], complaint: str) -> None:
    """One sentence says what is wrong, and never repeats a secret."""
    client = said(Result())
    session = carry_out("call", URL, "add", *words, client=client)
    assert session.status == 2
    assert complaint in session.err.text
    assert "secret-word" not in session.err.text
    assert client.calls == []


def test_a_slip_in_the_name_of_a_tool() -> None:
    """What may have been meant is told, and the server has the last word."""
    client = said(RemoteError(-32602, "Unknown tool: ad"))
    session = carry_out("call", URL, "ad", "a=1", client=client)
    assert session.status == 3
    assert "is 'add' meant?" in session.err.text


def test_what_is_no_text_is_told_by_type_and_size() -> None:
    """Also what nobody knows yet."""
    blocks = [
        Image(b"12345", "image/png"),
        EmbeddedResource("file:///a\n", b"1", mime_type="a/b"),
        EmbeddedResource("file:///t", "inside"),
        ResourceLink("file:///b", "b"),
        Unknown("video", {"url": "x"}),
    ]
    session = carry_out("call", URL, "add", client=said(Result(content=blocks)))
    assert session.out.text.splitlines() == [
        "[image: image/png, 5 bytes; --output FILE saves it]",
        "[file:///a\\n: a/b, 1 byte; --output FILE saves it]",
        "[file:///t]",
        "inside",
        "[link to b: file:///b]",
        '[content of a type that is not known here, video: {"type": "video", "url": "x"}]',
    ]


@pytest.mark.parametrize("text", ['{"x": 1}', '{ "x" :1}'])
def test_structured_content_is_not_said_twice(text: str) -> None:
    """Where a text says the same; also wrapped, as some servers do."""
    session = carry_out("call", URL, "add", client=said(Result(content=[Text(text)], structured={"x": 1})))
    assert session.out.text == f"{text}\n"
    session = carry_out("call", URL, "add", client=said(Result(content=[Text("3")], structured={"result": 3})))
    assert session.out.text == "3\n"
    session = carry_out("call", URL, "add", client=said(Result(content=[Text("see")], structured={"x": 1})))
    assert session.out.text == 'see\n{\n  "x": 1\n}\n'


def test_bytes_are_saved_as_they_are(tmp_path: Path) -> None:
    """Several get numbers; the text beside them is shown."""
    result = Result(content=[Text("two pictures"), Image(b"\0one"), EmbeddedResource("x:y", b"\xfftwo")])
    session = carry_out("call", URL, "add", "-o", str(tmp_path / "out.png"), client=said(result))
    assert session.status == 0
    assert (tmp_path / "out.png").read_bytes() == b"\0one"
    assert (tmp_path / "out-2.png").read_bytes() == b"\xfftwo"
    assert session.out.text == "two pictures\n"
    assert "saved" in session.err.text


def test_without_bytes_the_text_is_saved(tmp_path: Path) -> None:
    """Byte for byte, and it is not shown."""
    session = carry_out("call", URL, "add", "-o", str(tmp_path / "o"), client=said(Result(content=[Text(EVIL)])))
    assert (tmp_path / "o").read_text() == EVIL
    assert session.out.text == ""


def test_saved_to_a_pipe() -> None:
    """With `-`, but not to a terminal."""
    client = said(Result(content=[Image(b"\0\xff")]))
    session = carry_out("call", URL, "add", "-o", "-", client=client)
    assert session.out.buffer.getvalue() == b"\0\xff\n"[:2]  # type: ignore[attr-defined]
    assert carry_out("call", URL, "add", "-o", "-", client=client, terminal=True).status == 2


def test_a_file_that_can_not_be_written(tmp_path: Path) -> None:
    """Is told in a sentence."""
    (tmp_path / "out-2.png").mkdir()
    result = Result(content=[Image(b"1"), Image(b"2")])
    session = carry_out("call", URL, "add", "-o", str(tmp_path / "out.png"), client=said(result))
    assert session.status == 2
    assert "out-2.png" in session.err.text


def test_ctrl_c_cancels_and_says_so() -> None:
    """The stream is left, the client closed; the status is that of an interrupt."""
    client = said(Progress(1), Deferred())
    session = carry_out("call", URL, "add", "--json-lines", client=client)
    assert not session.over
    session.running.on_signal(2, None)
    session.clock.advance(0)
    assert session.status == 130
    assert client.stream is not None
    assert client.stream.closed
    assert client.closed
    assert "cancelling on the server" in session.err.text
    assert lines(session.out.text)[-1] == {"event": "error", "kind": "Cancelled", "message": "cancelled", "status": 130}


def test_a_closed_pipe_ends_without_a_word() -> None:
    """The call is cancelled, too."""
    waiting: Deferred[None] = Deferred()
    client = said(waiting, Progress(1), Deferred())
    session = carry_out("call", URL, "add", client=client)
    session.out.broken = True
    waiting.callback(None)
    assert session.status == 141
    assert session.err.text == ""
    assert client.closed


def test_forms_without_anybody_there() -> None:
    """They are declined, unless the command line fills them in; a page is never agreed to."""
    form = FormQuestion(message="Who?", schema={"properties": {"name": {"type": "string"}}, "required": ["name"]})
    page = PageQuestion(message="Log in", url="https://example.org/\x1b[2J")
    answers: list[Any] = []
    client = StandIn()

    async def asked() -> None:
        answers.append(await client.options["elicit"](form))
        answers.append(await client.options["visit"](page))

    client.events = [asked, Result(content=[Text("done")])]
    session = carry_out("call", URL, "add", client=client)
    assert answers == ["decline", "decline"]
    assert "the server asks: Who?: answered with decline" in session.err.text
    assert "\x1b" not in session.err.text
    session = carry_out("call", URL, "add", "--answer", "name=Ada", client=client)
    assert answers[2:] == [{"name": "Ada"}, "decline"]
    session = carry_out("call", URL, "add", "--answer", "other=Ada", "--json-lines", client=client)
    assert answers[4:] == ["decline", "decline"]
    assert lines(session.out.text)[0] == {
        "event": "asked",
        "mode": "form",
        "message": "Who?",
        "action": "decline",
        "reason": "name is required",
    }


def test_what_a_server_logs_beside_a_call_is_shown() -> None:
    """Before 2026-07-28 log messages may come on a stream of their own."""
    client = StandIn()
    client.events = [lambda: client.options["on_notice"](LogMessage("error", "beside")), Result(content=[Text("done")])]
    assert carry_out("call", URL, "add", client=client).out.text == "[error] beside\ndone\n"
