"""Table D of the wire: a modern message."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from twisted.python.failure import Failure

from mcpserve.features.catalog import Catalog, Page
from mcpserve.features.tool import Tool
from tests.wire.http import Peer
from tests.wire.server import CAPABILITIES, CLIENT, INFO, LEGACY, MODERN, PREFIX, VERSION, Limits, Server, request
from tests.wire.tools import Witness, add, burst, chatty, crash, echo, placed, refuse, silent, steps

LOG_LEVEL = PREFIX + "logLevel"


def assert_error(peer: Peer, status: int, code: int, id: Any = 1) -> Any:
    """The answer is this error with the request's id. Returns the error."""
    assert (peer.status, peer.error["code"]) == (status, code), peer.json
    assert (peer.json["id"], peer.complete) == (id, True)
    return peer.error


def encoded(text: str) -> str:
    """The sentinel form of a header value."""
    return "=?base64?" + base64.b64encode(text.encode()).decode() + "?="


# --- the envelope


@pytest.mark.parametrize("meta", [[], 1, "x", None, {}, {CAPABILITIES: {}}])
def test_D1_no_metadata(meta: Any) -> None:
    """`_meta` must be an object with a version."""
    message = request("tools/list", {"_meta": meta})
    peer = Server().post(message, {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/list"})
    assert VERSION in assert_error(peer, 400, -32602)["message"]


@pytest.mark.parametrize("version", [1, None, [], {}])
def test_D1_version_is_no_string(version: Any) -> None:
    """A claim that is no string is still a claim, and malformed, whatever the header says."""
    for header in (MODERN, None):
        peer = Server().modern("tools/list", meta={VERSION: version}, headers={"MCP-Protocol-Version": header})
        assert VERSION in assert_error(peer, 400, -32602)["message"]


def test_D2_version_header_missing() -> None:
    """The header is required."""
    peer = Server().modern("tools/list", headers={"MCP-Protocol-Version": None})
    assert "MCP-Protocol-Version" in assert_error(peer, 400, -32020)["message"]


@pytest.mark.parametrize("header", [*LEGACY, "2031-01-01", "", encoded(MODERN), MODERN + ", " + MODERN])
def test_D3_header_and_meta_disagree(header: str) -> None:
    """The header says the same as the body, or the request is refused with both values."""
    message = assert_error(Server().modern("tools/list", headers={"MCP-Protocol-Version": header}), 400, -32020)[
        "message"
    ]
    assert repr(header) in message
    assert MODERN in message


@pytest.mark.parametrize("version", [*LEGACY, "2031-01-01", ""])
def test_D4_version_not_served(version: str) -> None:
    """Only modern versions are offered, also to a client that claims a legacy one."""
    peer = Server().modern("tools/list", meta={VERSION: version}, headers={"MCP-Protocol-Version": version})
    assert assert_error(peer, 400, -32022)["data"] == {"supported": [MODERN], "requested": version}


@pytest.mark.parametrize("capabilities", [..., None, [], "x", 1])
def test_D5_capabilities_missing(capabilities: Any) -> None:
    """The client's capabilities are required."""
    peer = Server().modern("tools/list", meta={CAPABILITIES: capabilities})
    assert CAPABILITIES in assert_error(peer, 400, -32602)["message"]


def test_D6_client_info_missing() -> None:
    """The client need not say who it is."""
    assert Server().modern("tools/list", meta={INFO: ...}).status == 200


@pytest.mark.parametrize(
    "meta",
    [
        {INFO: None},
        {INFO: "x"},
        {INFO: {"name": "x"}},
        {INFO: {"name": 1, "version": "1"}},
        {LOG_LEVEL: "loud"},
        {LOG_LEVEL: None},
        {LOG_LEVEL: 3},
        {LOG_LEVEL: []},
        {"progressToken": 1.5},
        {"progressToken": True},
        {"progressToken": {}},
    ],
)
def test_D7_optional_but_malformed(meta: dict[str, Any]) -> None:
    """What need not be there must be right if it is."""
    error = assert_error(Server(echo).call("echo", meta=meta), 400, -32602)
    assert next(iter(meta)).removeprefix(PREFIX) in error["message"]


@pytest.mark.parametrize(
    "header", [None, "", "tools/call", "Tools/List", "tools/list ,", encoded("tools/list"), "tools/l\xefst"]
)
def test_D8_method_header(header: str | None) -> None:
    """The header names the method as the body does: in the same case, never encoded."""
    assert_error(Server().modern("tools/list", headers={"Mcp-Method": header}), 400, -32020)


@pytest.mark.parametrize("name", ["mcp-method", "MCP-METHOD"])
def test_D8_case_of_the_header_name(name: str) -> None:
    """The name of a header has no case."""
    assert Server().modern("tools/list", headers={"Mcp-Method": None, name: " tools/list "}).status == 200


@pytest.mark.parametrize(
    "method",
    [
        "no/such",
        "",
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "tasks/list",
        "tasks/result",
        "resources/read",
        "resources/list",
        "resources/templates/list",
        "prompts/get",
        "prompts/list",
        "completion/complete",
        "notifications/cancelled",
        "Tools/list",
    ],
)
def test_D9_method_not_served(method: str) -> None:
    """A method that is unknown, was removed, or is of something that is not served: 404."""
    assert_error(Server().modern(method, {"name": "x", "uri": "x:y"}), 404, -32601)


def test_D9_what_is_declared_is_served_and_nothing_else() -> None:
    """The capabilities tell the methods."""
    assert set(Server().modern("server/discover").result["capabilities"]) == {"tools", "logging", "extensions"}


# --- names


@pytest.mark.parametrize("params", [{}, {"name": None}, {"name": 1}, {"name": ["echo"]}])
def test_D10_name_missing(params: dict[str, Any]) -> None:
    """The params must name the tool; that is said before the header is looked at."""
    for headers in ({}, {"Mcp-Name": "echo"}):
        assert_error(Server(echo).modern("tools/call", params, headers=headers), 200, -32602)


@pytest.mark.parametrize("header", [None, "", "Echo", "echo2", '"echo"', encoded("Echo"), encoded("echo") + "x"])
def test_D11_name_header_differs(header: str | None) -> None:
    """The header names the tool that the body names, or the request is refused with both."""
    error = assert_error(Server(echo).call("echo", headers={"Mcp-Name": header}), 400, -32020)
    assert "Mcp-Name" in error["message"]
    assert "'echo'" in error["message"]


@pytest.mark.parametrize("header", ["echo", "  echo \t", encoded("echo"), " " + encoded("echo") + " "])
def test_D11_name_header_agrees(header: str) -> None:
    """It is trimmed and decoded before it is compared."""
    assert Server(echo).call("echo", headers={"Mcp-Name": header}).status == 200


@pytest.mark.parametrize("method", ["tools/list", "server/discover"])
def test_D12_name_on_another_method(method: str) -> None:
    """Where nothing is named the header does not matter, not even malformed."""
    assert Server().modern(method, headers={"Mcp-Name": "=?base64?!?="}).status == 200


MALFORMED = ["=?base64?ZWNobw?=", "=?base64?ZWNo bw==?=", "=?base64?ZWNobx==?=", "=?base64?_-_-?=", "=?base64?/w==?="]


@pytest.mark.parametrize("header", MALFORMED)
def test_D13_malformed_sentinel(header: str) -> None:
    """Base64 is strict in alphabet and padding, and holds UTF-8."""
    assert_error(Server(echo).call("echo", headers={"Mcp-Name": header}), 400, -32020)
    headers = {"Mcp-Param-Region": header, "Mcp-Param-Zone": None}
    assert_error(Server(placed).call("placed", {"region": "echo"}, headers=headers), 400, -32020)


@pytest.mark.parametrize(
    "text", ["=?BASE64?ZWNobw==?=", "=?base64?ZWNobw==", "ZWNobw==", "=?utf-8?b?ZWNobw==?=", "base64?="]
)
def test_D13_what_only_looks_like_a_sentinel(text: str) -> None:
    """Anything but the exact form is literal."""
    peer = Server(placed).call("placed", {"region": text}, headers={"Mcp-Param-Region": text})
    assert peer.result["content"][0]["text"].startswith(text)


@pytest.mark.parametrize(
    "name", ["MCP-Protocol-Version", "Mcp-Method", "Mcp-Name", "Mcp-Param-Region", "Mcp-Session-Id", "Last-Event-ID"]
)
def test_D14_a_header_twice(name: str) -> None:
    """Two of a protocol header could mean two things, even if they say the same."""
    right = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "placed"}.get(name, "x")
    headers = {"Mcp-Param-Region": "x", name: [right, right]}
    error = assert_error(Server(placed).call("placed", {"region": "x"}, headers=headers, id="a"), 400, -32020, "a")
    assert name.lower() in error["message"].lower()


# --- params and tools


@pytest.mark.parametrize("arguments", [[], "x", 1, True])
def test_D15_arguments_are_no_object(arguments: Any) -> None:
    """The method's params are at fault, not the envelope: 200."""
    peer = Server(echo).modern("tools/call", {"name": "echo", "arguments": arguments})
    assert_error(peer, 200, -32602)


@pytest.mark.parametrize("params", [{"name": "echo"}, {"name": "echo", "arguments": None}])
def test_D15_no_arguments(params: dict[str, Any]) -> None:
    """Arguments may be left out."""
    assert Server(echo).modern("tools/call", params).result["content"][0]["text"] == ""


@pytest.mark.parametrize("cursor", ["", "x", "ZWNobw", 1, {}])
def test_D15_bad_cursor(cursor: Any) -> None:
    """A cursor is one of ours or none."""
    assert_error(Server(add).modern("tools/list", {"cursor": cursor}), 200, -32602)


@pytest.mark.parametrize("name", ["no_such", "", "Echo", "e" * 500])
def test_D16_unknown_tool(name: str) -> None:
    """The error names the tool, though not at any length."""
    error = assert_error(Server(echo).call(name), 200, -32602)
    assert name[:100] in error["message"]
    assert len(error["message"]) < 200


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({"region": "eu"}, {}),
        ({"region": "eu"}, {"Mcp-Param-Region": "us"}),
        ({"region": "eu"}, {"Mcp-Param-Region": "EU"}),
        ({"region": "eu"}, {"Mcp-Param-Region": "=?base64?ZXU?="}),
        ({"region": "é"}, {"Mcp-Param-Region": "\xe9"}),
        ({"region": "é"}, {"Mcp-Param-Region": "\xc3\xa9"}),
        ({"region": ""}, {}),
        ({"zone": 1}, {"Mcp-Param-Zone": "2"}),
        ({"zone": 1}, {"Mcp-Param-Zone": "one"}),
        ({"zone": 1}, {"Mcp-Param-Zone": "0x1"}),
        ({"zone": 0}, {}),
        ({"spare": True}, {"Mcp-Param-Spare": "True"}),
        ({"spare": True}, {"Mcp-Param-Spare": "1"}),
        ({"spare": False}, {}),
    ],
)
def test_D17_parameter_header_missing_or_different(arguments: dict[str, Any], headers: dict[str, str]) -> None:
    """What is mirrored must be there, and say the same."""
    assert_error(Server(placed).call("placed", arguments, headers=headers), 400, -32020)


@pytest.mark.parametrize(
    ("arguments", "headers", "text"),
    [
        ({"region": "eu"}, {"Mcp-Param-Region": " eu "}, "eu 0 False"),
        ({"region": "eu"}, {"mcp-param-REGION": encoded("eu")}, "eu 0 False"),
        ({"region": "é"}, {"Mcp-Param-Region": encoded("é")}, "é 0 False"),
        ({"region": ""}, {"Mcp-Param-Region": ""}, " 0 False"),
        ({"zone": 10}, {"Mcp-Param-Zone": "10.0"}, "None 10 False"),
        ({"zone": 10}, {"Mcp-Param-Zone": "1e1"}, "None 10 False"),
        ({"zone": -1}, {"Mcp-Param-Zone": "-1"}, "None -1 False"),
        ({"spare": True}, {"Mcp-Param-Spare": "true"}, "None 0 True"),
    ],
)
def test_D17_parameter_header_agrees(arguments: dict[str, Any], headers: dict[str, str], text: str) -> None:
    """Strings are decoded, integers compared as numbers, booleans spelled out."""
    peer = Server(placed).call("placed", arguments, headers=headers)
    assert peer.result["content"][0]["text"] == text


def test_D18_nothing_to_mirror() -> None:
    """An argument that is null or absent has no header; whether it may be null is for the schema to say."""
    server = Server(placed)
    assert server.call("placed", {}).result["content"][0]["text"] == "None 0 False"
    assert server.call("placed", {"region": None}).result["isError"] is True


@pytest.mark.parametrize("arguments", [{}, {"region": None}])
@pytest.mark.parametrize("header", ["", "eu", "null"])
def test_D19_a_header_for_nothing(arguments: dict[str, Any], header: str) -> None:
    """A header for an argument that is not there differs from the body."""
    assert_error(Server(placed).call("placed", arguments, headers={"Mcp-Param-Region": header}), 400, -32020)


def test_D20_an_unknown_parameter_header() -> None:
    """What no argument is mirrored in does not matter."""
    headers = {"Mcp-Param-Other": "=?base64?!?=", "Mcp-Param-": "x"}
    assert Server(placed, echo).call("placed", headers=headers).status == 200
    assert Server(placed, echo).call("echo", headers={"Mcp-Param-Region": "eu"}).status == 200


@pytest.mark.parametrize("arguments", [{}, {"a": 1}, {"a": "1", "b": 2}, {"a": 1, "b": 2, "surplus": 3}])
def test_D21_arguments_do_not_fit(arguments: dict[str, Any]) -> None:
    """The model can mend its arguments, so it gets to read what is wrong with them."""
    result = Server(add).call("add", arguments).result
    assert result["isError"] is True
    wrong = "surplus" if "surplus" in arguments else "a" if "a" not in arguments or arguments["a"] == "1" else "b"
    assert wrong in result["content"][0]["text"]


def test_D22_tool_raises() -> None:
    """A ToolError's text is for the model, anything else only for the log."""
    server = Server(refuse, crash)
    result = server.call("refuse").result
    assert (result["isError"], result["content"][0]["text"]) == (True, "no luck")
    result = server.call("crash").result
    assert result["isError"] is True
    assert "secret" not in result["content"][0]["text"]
    assert "log id" in result["content"][0]["text"] or "under id" in result["content"][0]["text"]


class Broken(Catalog[Tool]):
    """A catalogue that can't be listed."""

    def page(self, cursor: str | None = None) -> Page[Tool]:
        """Fail."""
        raise RuntimeError("secret")


@pytest.mark.usefixtures("logged_errors")
def test_D23_another_method_raises(flush_logged_errors: Callable[..., list[Failure]]) -> None:
    """A fault of ours is -32603 with an id of the log, and nothing more."""
    server = Server()
    server.tools.catalog = Broken()
    for peer in (server.modern("tools/list"), server.session().ask("tools/list")):
        message = assert_error(peer, 200, -32603)["message"]
        assert "secret" not in message
        assert "id" in message
    assert len(flush_logged_errors(RuntimeError)) == 2


# --- answers


def test_D31_discover() -> None:
    """Discovery says which versions are served without a handshake, and what there is."""
    result = Server().modern("server/discover").result
    assert result == {
        "supportedVersions": [MODERN],
        "capabilities": {
            "tools": {"listChanged": True},
            "logging": {},
            "extensions": {"io.modelcontextprotocol/tasks": {}},
        },
        "instructions": "Be kind.",
        "ttlMs": result["ttlMs"],
        "cacheScope": "public",
        "resultType": "complete",
        "_meta": {PREFIX + "serverInfo": {"name": "tested", "version": "1"}},
    }
    assert result["ttlMs"] >= 0


def test_D31_list() -> None:
    """A list is cacheable, complete, and the same each time."""
    server = Server(echo, add, placed)
    lists = [server.modern("tools/list").result for _ in range(3)]
    assert lists[0] == lists[1] == lists[2]
    assert [tool["name"] for tool in lists[0]["tools"]] == ["echo", "add", "placed"]
    assert lists[0]["resultType"] == "complete"
    assert lists[0]["cacheScope"] in ("public", "private")
    assert isinstance(lists[0]["ttlMs"], int)
    assert lists[0]["_meta"][PREFIX + "serverInfo"]["name"] == "tested"
    assert "nextCursor" not in lists[0]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_D31_pages(size: int) -> None:
    """The pages together are the list, in order."""
    server = Server(echo, add, placed, limits=Limits(page_size=size))
    names, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        result = server.modern("tools/list", {} if cursor is None else {"cursor": cursor}).result
        names += [tool["name"] for tool in result["tools"]]
        cursor, pages = result.get("nextCursor"), pages + 1
    assert names == ["echo", "add", "placed"]
    assert pages == -(-3 // size)


def test_D31_call() -> None:
    """A result is complete, and not cacheable."""
    result = Server(add).call("add", {"a": 1, "b": 2}).result
    assert result["structuredContent"] == {"total": 3}
    assert result["resultType"] == "complete"
    assert result["_meta"][PREFIX + "serverInfo"]["name"] == "tested"
    assert not {"ttlMs", "cacheScope", "isError"} & set(result)


@pytest.mark.parametrize("id", [0, -1, 1, "1", "", "é\n", 2**53, "a" * 1000])
def test_D31_the_id_comes_back_as_it_was(id: Any) -> None:
    """A number stays a number and a string a string, in a reply and in an error."""
    server = Server(echo)
    assert server.call("echo", id=id).json["id"] == id
    assert type(server.call("echo", id=id).json["id"]) is type(id)
    assert server.modern("no/such", id=id).json["id"] == id


def test_D32_a_stream() -> None:
    """Only the notifications of this request and then its reply; no ids, nothing to resume."""
    server = Server(steps)
    peer = server.call("steps", token="t", id=7)
    assert not peer.answered
    server.seconds(1)
    assert peer.status == 200
    assert peer.headers["x-accel-buffering"] == "no"
    assert peer.headers["cache-control"] == "no-cache, no-transform"
    server.seconds(2)
    *progress, reply = peer.messages
    assert [(m["method"], m["params"]) for m in progress] == [
        ("notifications/progress", {"progressToken": "t", "progress": n, "total": 3, "message": f"step {n}"})
        for n in (1, 2, 3)
    ]
    assert reply["id"] == 7
    assert {(event.id, event.retry) for event in peer.events} == {(None, None)}
    assert peer.complete


def test_D32_one_event_a_frame() -> None:
    """Each event is one `data:` line and an empty one."""
    server = Server(burst)
    peer = server.call("burst", {"number": 2}, token=1)
    server.turn()
    lines = peer.body.split(b"\n")
    assert [line[:6] for line in lines] == [b"data: ", b""] * 3 + [b""]


def test_D32_no_token_no_progress() -> None:
    """Without a token there is no progress, and so no stream."""
    assert Server(burst).call("burst").type == "application/json"


@pytest.mark.parametrize("token", [0, "", "t", -5])
def test_D32_any_token(token: Any) -> None:
    """A token is any string or integer, also such as Python takes for false."""
    server = Server(burst)
    peer = server.call("burst", token=token)
    server.turn()
    assert [message["params"]["progressToken"] for message in peer.messages[:-1]] == [token] * 3


def test_D32_keep_alive() -> None:
    """A silent call is kept alive by comments, the first of which opens the stream."""
    server = Server(silent)
    peer = server.call("silent")
    server.seconds(14)
    assert not peer.answered
    server.seconds(2)
    assert (peer.type, peer.comments) == ("text/event-stream", 1)
    server.seconds(30)
    assert peer.comments == 3
    server.seconds(20)
    assert peer.result["content"][0]["text"] == "awake"
    assert server.leftovers() == []


@pytest.mark.parametrize(
    ("level", "heard"), [(..., []), ("debug", ["d", {"i": 1}, "e"]), ("info", [{"i": 1}, "e"]), ("critical", [])]
)
def test_D33_log_messages(level: Any, heard: list[Any]) -> None:
    """Log messages are sent to those who asked, from the level that they asked for."""
    server = Server(chatty)
    peer = server.call("chatty", meta={LOG_LEVEL: level})
    server.turn()
    messages = [] if peer.type == "application/json" else peer.messages[:-1]
    assert [message["params"]["data"] for message in messages] == heard
    assert {message["method"] for message in messages} <= {"notifications/message"}
    assert peer.result["content"][0]["text"] == "logged"


def test_D34_the_client_closes() -> None:
    """Closing the response cancels the work, and nothing more is sent."""
    witness = Witness()
    server = Server(*witness.tools())
    peer = server.call("wait", {"progress": True}, token=1)
    peer.drop()
    assert witness.told == ["on_cancel", "finally"]
    writes = len(peer.writes)
    server.seconds(120)
    assert len(peer.writes) == writes
    assert server.leftovers() == []


@pytest.mark.parametrize("method", ["notifications/cancelled", "notifications/no_such", "x", "tools/call"])
@pytest.mark.parametrize("params", [None, {}, {"requestId": 1}, {"_meta": {VERSION: MODERN}}, {"_meta": {"x": 1}}])
def test_D37_notification(method: str, params: Any) -> None:
    """Any notification is accepted, with nothing said."""
    message = {"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})}
    peer = Server().post(message, {"MCP-Protocol-Version": MODERN})
    assert (peer.status, peer.body, peer.complete) == (202, b"", True)


@pytest.mark.parametrize("meta", [{VERSION: 1}, {VERSION: None}, {VERSION: []}])
@pytest.mark.parametrize("header", [MODERN, None])
def test_D37_malformed_claim(meta: Any, header: str | None) -> None:
    """A claim must be a string; the error has no id, as the message had none."""
    message = {"jsonrpc": "2.0", "method": "notifications/x", "params": {"_meta": meta}}
    peer = Server().post(message, {"MCP-Protocol-Version": header})
    assert (peer.status, peer.error["code"], "id" in peer.json) == (400, -32602, False)


@pytest.mark.parametrize("version", [*LEGACY, "2031-01-01"])
def test_D37_a_claim_that_is_not_served(version: str) -> None:
    """A version that is not served without a handshake is named, as for a request."""
    message = {"jsonrpc": "2.0", "method": "notifications/x", "params": {"_meta": {VERSION: version}}}
    peer = Server().post(message)
    assert (peer.status, peer.error["code"], "id" in peer.json) == (400, -32022, False)


@pytest.mark.parametrize("meta", [1, [], "x", None])
def test_D37_metadata_is_no_object(meta: Any) -> None:
    """`_meta` is an object."""
    message = {"jsonrpc": "2.0", "method": "notifications/x", "params": {"_meta": meta}}
    peer = Server().post(message, {"MCP-Protocol-Version": MODERN})
    assert (peer.status, peer.error["code"], "id" in peer.json) == (400, -32602, False)


def test_D37_a_notification_cancels_nothing() -> None:
    """Over HTTP a modern request is cancelled by closing its response, not by a message of somebody."""
    witness = Witness()
    server = Server(*witness.tools())
    peer = server.call("wait", id=5)
    message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}}
    assert server.post(message, {"MCP-Protocol-Version": MODERN}).status == 202
    assert witness.told == []
    peer.drop()


def test_D38_session_headers() -> None:
    """A session id and an event id mean nothing here, and are never sent."""
    server = Server(burst)
    headers = {"Mcp-Session-Id": "x", "Last-Event-ID": "1-1"}
    peer = server.call("burst", token=1, headers=headers)
    server.turn()
    assert peer.complete
    assert "mcp-session-id" not in peer.headers
    assert len(server.sessions) == 0


def test_two_clients_may_use_the_same_id() -> None:
    """Modern requests stand alone: an id belongs to its request."""
    server = Server(silent)
    peers = [server.call("silent", {"seconds": 1.0}, id=1) for _ in range(3)]
    server.seconds(1)
    assert [peer.json["id"] for peer in peers] == [1, 1, 1]


def test_client_facts_reach_nobody_else() -> None:
    """What one request says of itself is not known to the next."""
    server = Server(chatty)
    server.call("chatty", meta={LOG_LEVEL: "debug", INFO: CLIENT})
    assert server.call("chatty").type == "application/json"
    server.turn()
