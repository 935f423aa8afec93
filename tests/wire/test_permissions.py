"""What callers may use, on the wire: what is not for them is as what there is not, on every way to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import orjson
import pytest

from mcpserve import Arg, Call, Directory, prompt, resource, tool
from mcpserve.features.discovery import collect
from mcpserve.policy.rules import read_access
from mcpserve.protocol.notices import resource_updated
from mcpserve.protocol.tasks import EXTENSION
from tests.wire.callers import Said, by
from tests.wire.http import Peer
from tests.wire.server import (
    CAPABILITIES,
    CLIENT,
    LATEST_LEGACY,
    LEGACY,
    NOTHING,
    Headers,
    Limits,
    Server,
    Session,
    request,
)
from tests.wire.stored import Disk
from tests.wire.tools import echo

OPS, HR, NOBODY = by("ann", "ops"), by("bob", "hr"), by(None)
KNOWS: Mapping[str, Any] = {CAPABILITIES: {"extensions": {EXTENSION: {}}}}


@tool(groups=["ops"])
def reboot(text: str = "") -> str:
    """Reboot."""
    return "rebooted"


@tool
async def work(call: Call) -> str:
    """Work for a while."""
    await call.sleep(1)
    return "worked"


@tool(task="optional")
async def build(call: Call) -> str:
    """Build for long."""
    await call.sleep(10)
    return "built"


@prompt(groups=["ops"])
def outage(site: Annotated[str, Arg(completer=["north", "south"])] = "north") -> str:
    """Tell of an outage."""
    return f"{site} is down."


@prompt
def hello() -> str:
    """Greet."""
    return "Hello."


@resource("plan://today", groups=["ops"])
def plan() -> str:
    """What is to be done."""
    return "nothing"


@resource("note://{day}")
def note(day: Annotated[str, Arg(completer=["friday", "monday", "sunday"])]) -> str:
    """What happened."""
    return day


@resource("page://{number}{?part}", cache_scope="public")
def page(number: int, part: str = "") -> str:
    """A page of a book."""
    return f"{number}{part}"


THINGS = (echo, reboot, work, build, outage, hello, plan, note, page)


def serving(table: Mapping[str, Any] = NOTHING, *more: Any, **options: Any) -> Server:
    """A server with these rules."""
    return Server(*THINGS, *more, access=read_access(table), identity=Said, **options)


def session_of(server: Server, who: Headers, version: str = LATEST_LEGACY) -> Session:
    """A session that somebody has begun."""
    answer = server.initialize(version, who)
    return Session(server, answer.headers["mcp-session-id"], version)


def without(peer: Peer, name: str) -> bytes:
    """What has arrived, with one name written as another of the same length."""
    return peer.arrived.replace(name.encode(), b"?" * len(name))


# --- used


FORBIDDEN = [
    ("tools/call", {"name": "reboot"}, {"name": "rebook"}),
    ("prompts/get", {"name": "outage"}, {"name": "outbid"}),
    ("resources/read", {"uri": "plan://today"}, {"uri": "plan://never"}),
    (
        "completion/complete",
        {"ref": {"type": "ref/prompt", "name": "outage"}, "argument": {"name": "site", "value": ""}},
        {"ref": {"type": "ref/prompt", "name": "outbid"}, "argument": {"name": "site", "value": ""}},
    ),
    (
        "completion/complete",
        {"ref": {"type": "ref/resource", "uri": "plan://today"}, "argument": {"name": "day", "value": ""}},
        {"ref": {"type": "ref/resource", "uri": "plan://never"}, "argument": {"name": "day", "value": ""}},
    ),
    ("resources/subscribe", {"uri": "plan://today"}, {"uri": "plan://never"}),
]


def named(params: Any) -> str:
    """The name in the params of a request."""
    return str(params.get("name") or params.get("uri") or params["ref"].get("name") or params["ref"]["uri"])


@pytest.mark.parametrize("who", [HR, NOBODY])
@pytest.mark.parametrize(("method", "params", "unknown"), FORBIDDEN)
def test_what_one_may_not_use_is_unknown(method: str, params: Any, unknown: Any, who: Headers) -> None:
    """The same bytes as for a name that there is not, in both eras."""
    server = serving()
    answers = []
    for one in (params, unknown):
        peers = [session_of(server, who, version).ask(method, one, headers=who) for version in LEGACY]
        if method != "resources/subscribe":
            peers.append(server.modern(method, one, headers=who))
        answers.append([without(peer, named(one)) for peer in peers])
        assert all(peer.error["code"] in (-32602, -32002) for peer in peers)
    assert answers[0] == answers[1]


@pytest.mark.parametrize(("method", "params", "unknown"), FORBIDDEN)
def test_who_may_use_it_is_served(method: str, params: Any, unknown: Any) -> None:
    """The same requests of somebody in the group are not answered so."""
    server = serving()
    reply = session_of(server, OPS).ask(method, params, headers=OPS).json
    if params.get("ref", {}).get("type") == "ref/resource":
        assert "to complete" in reply["error"]["message"]
    else:
        assert "result" in reply


def test_arguments_are_not_looked_at_before() -> None:
    """Who may not call a tool does not learn from them that it is there."""
    server = serving()
    peers = [server.call(name, {"text": 5}, headers=HR) for name in ("reboot", "rebook")]
    assert without(peers[0], "reboot") == without(peers[1], "rebook")


@pytest.mark.parametrize("who", [HR, NOBODY])
def test_over_http_with_sse(who: Headers) -> None:
    """The same decision on the old transport."""
    server = serving(http_sse=True)
    stream = server.http("GET", {"Content-Type": None, "Accept": "text/event-stream", **who}, path="/sse")
    path = str(stream.events[0].data)
    wanted = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": CLIENT}

    def post(message: Any, headers: Headers) -> Any:
        assert server.http("POST", headers, orjson.dumps(message), path=path).status == 202
        server.turn()
        return orjson.loads(stream.events[-1].data or "")

    post(request("initialize", wanted, 0), who)
    errors = [post(request("tools/call", {"name": name}), who)["error"] for name in ("reboot", "rebook")]
    assert errors[0]["message"].replace("reboot", "rebook") == errors[1]["message"]
    assert "reboot" not in str(post(request("tools/list"), who)["result"])
    if who is HR:
        # what the request shows that is made counts, not what the stream was opened with
        assert "result" in post(request("tools/call", {"name": "reboot"}), by("bob", "hr ops"))
        assert "reboot" in str(post(request("tools/list"), by("bob", "hr ops"))["result"])
        assert "error" in post(request("tools/call", {"name": "reboot"}), who)


def test_in_a_batch() -> None:
    """Element by element."""
    server = serving()
    session = session_of(server, HR, "2025-03-26")
    calls = [request("tools/call", {"name": name}, number) for number, name in enumerate(["reboot", "rebook", "echo"])]
    replies = {reply["id"]: reply for reply in session.post(calls, HR).json}
    assert replies[0]["error"]["message"].replace("reboot", "rebook") == replies[1]["error"]["message"]
    assert "result" in replies[2]


# --- shown


LISTS = [
    ("tools/list", "tools", "reboot"),
    ("prompts/list", "prompts", "outage"),
    ("resources/list", "resources", "plan"),
    ("resources/templates/list", "resourceTemplates", "note"),
]


@pytest.mark.parametrize(("method", "member", "name"), LISTS)
def test_lists(method: str, member: str, name: str) -> None:
    """What a caller may not use is not listed; everything else is, in its order."""
    server = serving({"resources": {"note://*": {"groups": ["ops"]}}})
    for who in (OPS, HR, NOBODY):
        lists = [
            server.modern(method, headers=who).result[member],
            session_of(server, who).ask(method, headers=who).result[member],
        ]
        whole = [item["name"] for item in server.modern(method, headers=OPS).result[member]]
        expected = whole if who is OPS else [one for one in whole if one != name]
        assert name in whole
        assert [[item["name"] for item in one] for one in lists] == [expected, expected]


@pytest.mark.parametrize(("method", "member", "name"), LISTS)
def test_who_may_keep_a_list(method: str, member: str, name: str) -> None:
    """Lists that differ are for nobody else; without rules, and without names, everybody sees the same."""
    restricted = serving({"resources": {"note://*": {"groups": ["ops"]}}})
    plain = Server(echo, hello, note, resource("a://b")(lambda: "b"), identity=Said)
    assert {restricted.modern(method, headers=who).result["cacheScope"] for who in (OPS, HR, NOBODY)} == {"private"}
    assert [plain.modern(method, headers=who).result["cacheScope"] for who in (OPS, NOBODY)] == ["private", "public"]


def test_pages_hold_what_is_visible() -> None:
    """A cursor of something that one does not see is none."""
    server = serving(limits=Limits(page_size=1))
    full = server.modern("tools/list", headers=OPS).result
    at_reboot = server.modern("tools/list", {"cursor": full["nextCursor"]}, headers=OPS).result
    assert at_reboot["tools"][0]["name"] == "reboot"
    assert server.modern("tools/list", {"cursor": full["nextCursor"]}, headers=HR).result["tools"][0]["name"] == "work"
    foreign = server.modern("tools/list", {"cursor": at_reboot["nextCursor"]}, headers=HR)
    unknown = server.modern("tools/list", {"cursor": "bm9uZQ"}, headers=HR)
    assert foreign.arrived == unknown.arrived


def test_pages_are_encoded_once_for_all_who_see_the_same() -> None:
    """However many callers, groups and scopes there are."""
    server = serving()
    for number in range(50):
        server.modern("tools/list", headers=by(f"c{number}", f"g{number}", f"s{number}"))
        server.modern("tools/list", headers=by(f"o{number}", f"ops g{number}"))
    views = server.tools._pages._views
    assert (len(views._seen), len(views._views)) == (2, 2)


# --- URIs of templates


URIS = {
    "resources": {
        "note://monday": {"groups": ["ops"]},
        "page://5*": {"groups": ["ops"]},
        "page://7?part=b": {"groups": ["ops"]},
    }
}


@pytest.mark.parametrize(
    ("uri", "open"),
    [
        ("note://sunday", True),
        ("note://monday", False),
        ("note://%6donday", False),
        ("note://mond%61y", False),
        ("page://6", True),
        ("page://5", False),
        ("page://5.0", False),
        ("page://50", False),
        ("page://%35", False),
        ("page://05e1", True),
        ("page://7?part=a", True),
        ("page://7?part=b", False),
        ("page://7.0?part=%62", False),
    ],
)
def test_a_uri_of_a_template(uri: str, open: bool) -> None:
    """However it is spelled, the rules for what the function gets hold; also for completions and updates."""
    server = serving(URIS)
    allowed = server.modern("resources/read", {"uri": uri}, headers=OPS)
    peer = server.modern("resources/read", {"uri": uri}, headers=HR)
    if "error" in allowed.json:  # none of the template's
        assert peer.arrived == allowed.arrived
        return
    assert ("result" in peer.json) == open
    if not open:
        assert peer.error["code"] == -32602
        unknown = server.modern("resources/read", {"uri": "gone" + uri[4:]}, headers=HR)
        assert without(peer, uri) == without(unknown, "gone" + uri[4:])


def test_a_cache_that_others_share() -> None:
    """What is not for everybody never gets the scope "public", nor what a caller with a name is told, whatever its
    author says.
    """
    server = serving(URIS)
    asked = [("page://6", NOBODY), ("page://6", OPS), ("page://5", OPS)]
    scopes = [server.modern("resources/read", {"uri": u}, headers=who).result["cacheScope"] for u, who in asked]
    assert scopes == ["public", "private", "private"]


def test_suggestions_are_of_what_one_may_read() -> None:
    """They would tell of the rest."""
    server = serving(URIS)
    params = {"ref": {"type": "ref/resource", "uri": "note://{day}"}, "argument": {"name": "day", "value": "day"}}
    found = [server.modern("completion/complete", params, headers=who).result["completion"] for who in (OPS, HR)]
    assert [one["values"] for one in found] == [["friday", "monday", "sunday"], ["friday", "sunday"]]
    assert found[1].get("total", 2) == 2


def test_the_files_of_a_directory(tmp_path: Path) -> None:
    """The rule that lets a file be read is the one that lists it, suggests it, and tells that it has changed."""
    for name in ("hr/pay.txt", "plan.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    server = serving({"resources": {"docs://all/hr/*": {"groups": ["hr"]}}}, Directory("docs://all", tmp_path))
    pay = "docs://all/hr/pay.txt"
    for who, sees in ((HR, True), (OPS, False)):
        listed = [item["uri"] for item in server.modern("resources/list", headers=who).result["resources"]]
        assert (pay in listed, "docs://all/plan.txt" in listed) == (sees, True)
        for uri in (pay, "docs://all/%68r/pay.txt", "docs://all/hr%2Fpay.txt"):
            assert ("result" in server.modern("resources/read", {"uri": uri}, headers=who).json) == sees
        ref = {"type": "ref/resource", "uri": "docs://all/{+path}"}
        params = {"ref": ref, "argument": {"name": "path", "value": ""}}
        values = server.modern("completion/complete", params, headers=who).result["completion"]["values"]
        assert ("hr/pay.txt" in values) == sees


# --- told of


def listening(server: Server, who: Headers) -> Peer:
    """Somebody who listens to everything."""
    return server.listen(
        {
            "toolsListChanged": True,
            "promptsListChanged": True,
            "resourcesListChanged": True,
            "resourceSubscriptions": ["plan://today", "note://monday", "note://sunday", "gone://x"],
        },
        headers=who,
    )


def heard(peer: Peer) -> list[str]:
    """What arrived behind the acknowledgement: a URI, or else the list that changed."""
    messages = [message for message in peer.messages if not message.get("method", "").endswith("/acknowledged")]
    return [message.get("params", {}).get("uri") or message["method"].split("/")[1] for message in messages]


def test_updates_of_what_one_may_not_read() -> None:
    """They are acknowledged like those of what there is not, and never told."""
    server = serving(URIS)
    ops, hr = listening(server, OPS), listening(server, HR)
    assert ops.messages[0] == hr.messages[0]
    server.tell(*map(resource_updated, ["plan://today", "note://monday", "note://sunday", "gone://x"]))
    assert heard(ops) == ["plan://today", "note://monday", "note://sunday", "gone://x"]
    assert heard(hr) == ["note://sunday", "gone://x"]


def test_updates_of_what_is_for_others_now() -> None:
    """It is decided when it is told: who listens since before a reload hears of what is open now, and of no more."""
    server = serving()
    hr = listening(server, HR)
    server.tell(resource_updated("note://sunday"))
    closed = resource("note://{day}", groups=["ops"], name="note")(diary)
    reload(server, echo, plan, closed)
    server.tell(resource_updated("note://sunday"), resource_updated("plan://today"))
    reload(server, echo, note)
    server.tell(resource_updated("note://sunday"))
    assert [uri for uri in heard(hr) if "://" in uri] == ["note://sunday"] * 2


def diary(day: str) -> str:
    """What happened."""
    return day


def test_updates_in_a_session() -> None:
    """Who may not read it any more hears no more of it; the last request counts."""
    server = serving(URIS)
    session = session_of(server, OPS)
    stream = session.get(headers=OPS)
    assert "result" in session.ask("resources/subscribe", {"uri": "plan://today"}, headers=OPS).json
    server.tell(resource_updated("plan://today"))
    session.ask("ping", headers=by("ann"))
    server.tell(resource_updated("plan://today"))
    assert len(stream.messages) == 1
    session.ask("ping", headers=OPS)
    server.tell(resource_updated("plan://today"))
    assert len(stream.messages) == 2


def test_updates_after_a_restart(tmp_path: Path) -> None:
    """The next process knows the name only: what takes a group is told when its client has shown it again."""
    disk = Disk(tmp_path / "store.db")
    before = serving(journal=disk.journal)
    session = session_of(before, OPS)
    for uri in ("plan://today", "note://monday"):
        session.ask("resources/subscribe", {"uri": uri}, headers=OPS)
    before.seconds(1)
    disk.kill()
    server = serving(journal=disk.journal, now=before.clock.seconds())
    server.tell(*map(resource_updated, ["plan://today", "note://monday"]))
    session = Session(server, session.id, session.version)
    stream = session.get(headers=OPS)
    server.turn()
    assert [message["params"]["uri"] for message in stream.messages] == ["note://monday"]
    server.tell(resource_updated("plan://today"))
    server.seconds(1)
    assert [message["params"]["uri"] for message in stream.messages] == ["note://monday", "plan://today"]
    disk.kill()


def reload(server: Server, *things: Any) -> None:
    """Serve something else."""
    server.tell(*server.features.replace(collect(things, "test")))


def test_a_list_that_has_changed_for_some() -> None:
    """Who sees no difference is not told."""
    server = serving()
    ops, hr = listening(server, OPS), listening(server, HR)
    reload(server, *(thing for thing in THINGS if thing is not reboot))
    assert (heard(ops), heard(hr)) == (["tools"], [])
    reload(server, *THINGS[1:])
    assert (heard(ops)[1:], heard(hr)) == (["tools"], ["tools"])


def test_two_changes_in_a_turn() -> None:
    """The notice of the later one is for both audiences."""
    server = serving()
    ops, hr = listening(server, OPS), listening(server, HR)
    first = server.features.replace(collect(THINGS[1:], "test"))
    second = server.features.replace(collect(THINGS[2:], "test"))
    server.tell(*first, *second)
    assert (heard(ops), heard(hr)) == (["tools"], ["tools"])


def test_a_tool_that_is_now_for_others() -> None:
    """Those who lose it and those who gain it are told, though it looks the same."""
    server = serving()
    ops, hr, others = listening(server, OPS), listening(server, HR), listening(server, by("eve", "it"))
    moved = tool(groups=["hr"], name="reboot")(lambda: "x")
    before = tool(groups=["ops"], name="reboot")(lambda: "x")
    reload(server, echo, before)
    for peer in (ops, hr, others):
        peer.arrived = peer.arrived[: peer.arrived.index(b"\r\n\r\n") + 4]
    reload(server, echo, moved)
    told = [b"tools/list_changed" in peer.arrived for peer in (ops, hr, others)]
    assert told == [True, True, False]


# --- a credential that does not allow enough


STEP = {
    "tools": {"echo": {"scopes": ["say", "hear"]}, "work": {"groups": ["ops"], "scopes": ["say"]}},
    "prompts": {"hello": {"scopes": ["say"]}},
    "resources": {"note://*": {"scopes": ["say"]}},
}


def challenge(peer: Peer) -> str:
    """What a refused caller is told."""
    assert peer.status == 403
    return peer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {"name": "echo"}),
        ("prompts/get", {"name": "hello"}),
        ("resources/read", {"uri": "note://monday"}),
        (
            "completion/complete",
            {"ref": {"type": "ref/resource", "uri": "note://{day}"}, "argument": {"name": "day", "value": ""}},
        ),
        ("resources/subscribe", {"uri": "note://monday"}),
    ],
)
def test_missing_scopes(method: str, params: Any) -> None:
    """403, with all scopes that it takes; for older revisions, with those that the caller has as well."""
    server = serving(STEP)
    who = by("ann", "", "hear more")
    needed = "hear say" if method == "tools/call" else "say"
    session = session_of(server, who)
    assert f'scope="{needed} {"more" if needed != "say" else "hear more"}"' in challenge(
        session.ask(method, params, headers=who)
    )
    if method != "resources/subscribe":
        peer = server.modern(method, params, headers=who)
        assert 'error="insufficient_scope"' in challenge(peer)
        assert f'scope="{needed}"' in challenge(peer)
        assert "lacks say" in peer.error["message"]
    enough = by("ann", "", "say hear")
    assert "result" in session.ask(method, params, headers=enough).json


@pytest.mark.parametrize(
    ("who", "told"), [(by("ann", "ops"), True), (by("bob", "hr"), False), (by(None, "ops"), False)]
)
def test_who_is_told_of_missing_scopes(who: Headers, told: bool) -> None:
    """Who lacks nothing else, and has shown a credential; for all others there is no such tool."""
    server = serving(STEP)
    peer, unknown = server.call("work", headers=who), server.call("werk", headers=who)
    if told:
        assert challenge(peer)
    else:
        assert without(peer, "work") == without(unknown, "werk")


@pytest.mark.parametrize("listed", [False, True])
def test_what_lacks_scopes_in_lists(listed: bool) -> None:
    """It is not listed, unless the rules say so; what lacks a group never is."""
    server = serving({**STEP, "list_step_up": listed})
    for who, names in (
        (by("ann", "ops"), {"echo", "work"}),
        (by("bob", "hr"), {"echo"}),
        (by(None, "ops"), set()),
    ):
        tools = {item["name"] for item in server.modern("tools/list", headers=who).result["tools"]}
        assert tools & {"echo", "work"} == (names if listed else set())


def test_missing_scopes_in_a_batch() -> None:
    """There is no status for an element; its error says what is missing."""
    server = serving(STEP)
    who = by("ann")
    peer = session_of(server, who, "2025-03-26").post([request("tools/call", {"name": "echo"})], who)
    assert (peer.status, "takes the scopes hear say" in peer.json[0]["error"]["message"]) == (200, True)


# --- tasks


def test_a_task_of_a_tool_that_one_may_not_use_any_more() -> None:
    """The decision is the one for its tool: with a weaker credential of the same party, there is no such task."""
    server = serving({"tools": {"build": {"groups": ["ops"]}}})
    task = server.call("build", headers=OPS, meta=KNOWS).result["taskId"]
    weaker = by("ann", "hr")
    for method, more in (("tasks/get", {}), ("tasks/update", {"inputResponses": {}}), ("tasks/cancel", {})):
        mine, none = (
            server.modern(method, {"taskId": id, **more}, meta=KNOWS, headers=weaker) for id in (task, "?" * 32)
        )
        assert mine.arrived == none.arrived
    peer = server.listen({"taskIds": [task]}, meta=KNOWS, headers=weaker)
    assert peer.messages[0]["params"]["notifications"] == {"taskIds": []}
    server.seconds(11)
    assert server.modern("tasks/get", {"taskId": task}, meta=KNOWS, headers=OPS).result["status"] == "completed"
    assert "error" in server.modern("tasks/get", {"taskId": task}, meta=KNOWS, headers=weaker).json


def test_a_task_whose_credential_lacks_scopes_now() -> None:
    """The challenge is that of the tool; a stream of notices just leaves it out."""
    server = serving({"tools": {"build": {"scopes": ["run"]}}})
    task = server.call("build", headers=by("ann", "", "run"), meta=KNOWS).result["taskId"]
    assert 'scope="run"' in challenge(server.modern("tasks/get", {"taskId": task}, meta=KNOWS, headers=by("ann")))
    peer = server.listen({"taskIds": [task]}, meta=KNOWS, headers=by("ann"))
    assert peer.messages[0]["params"]["notifications"] == {"taskIds": []}


def test_a_task_of_a_tool_that_is_gone() -> None:
    """Its owner still gets it, unless the rules say otherwise."""
    server = serving({"tools": {"bu*": {"groups": ["ops"]}}})
    task = server.call("build", headers=OPS, meta=KNOWS).result["taskId"]
    reload(server, echo)
    assert "result" in server.modern("tasks/get", {"taskId": task}, meta=KNOWS, headers=OPS).json
    assert "error" in server.modern("tasks/get", {"taskId": task}, meta=KNOWS, headers=by("ann")).json
