"""Tools for the wire tests that ask their client, and clients that can be asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from mcpserve import AskError, Call, Elicit, ListRoots, Sample, Stream, UrlRequired, prompt, resource, tool
from tests.wire.server import CAPABILITIES, LATEST_LEGACY, Server, Session

ALL: Mapping[str, Any] = {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}}
URL = "https://example.org/connect"


@attrs.frozen
class Name:
    """A name."""

    name: str


def accepted(**content: Any) -> dict[str, Any]:
    """A form that was filled in."""
    return {"action": "accept", "content": content}


def said(text: str) -> dict[str, Any]:
    """What a model said."""
    return {"role": "assistant", "content": {"type": "text", "text": text}, "model": "m"}


DECLINED = {"action": "decline"}
ROOTS = {"roots": [{"uri": "file:///home"}]}


@tool
async def greet(call: Call) -> str:
    """Ask for a name."""
    return f"Hello, {(await call.elicit('Your name?', Name)).form.name}!"


@tool
async def two_rounds(call: Call, start: int = 0) -> str:
    """Ask one thing after another, and do something once."""
    number = call.once("number", lambda: start + RUNS.count())
    first = await call.elicit("First?", Name, key="first")
    second = await call.elicit("Second?", Name, key="second")
    return f"{number}: {first.form.name}, {second.form.name}"


@tool
async def several(call: Call) -> str:
    """Ask for everything at once."""
    answers = await call.ask(who=Elicit("Who?", Name), what=Sample("What?"), where=ListRoots())
    return f"{answers['who'].form.name} {answers['what'].text} {answers['where'][0].uri}"


@tool
async def after_progress(call: Call) -> str:
    """Report progress before asking."""
    await call.progress(1, message="before")
    return f"Hello, {(await call.elicit('Your name?', Name)).form.name}!"


@tool
async def careful(call: Call) -> str:
    """Do without an answer if there is none."""
    try:
        return (await call.sample("Say something")).text
    except AskError as error:
        return f"alone: {error}"


@tool
async def visit(call: Call) -> str:
    """Send the user to a page."""
    answer = await call.elicit_url("Please connect", URL, id="v1")
    return f"{answer.action}"


@tool
def connected_only(call: Call) -> str:
    """Insist on a visit."""
    raise UrlRequired("Please connect first:", URL, "v2")


@tool
def by_callback(stream: Stream) -> None:
    """Ask without a coroutine."""
    stream.roots().addCallback(lambda roots: stream.finish(roots[0].uri)).addErrback(lambda why: stream.fail(why.value))


@prompt
async def about(call: Call, length: str = "short") -> str:
    """Ask what a text is about."""
    return f"Write a {length} text about {(await call.elicit('What about?', Name)).form.name}"


@resource("notes://{day}")
async def notes(call: Call, day: str) -> str:
    """Ask whose notes of a day are wanted."""
    return f"{(await call.elicit('Whose?', Name)).form.name} on {day}"


@attrs.define
class Runs:
    """Counts, and notes what becomes of a tool that asks."""

    number: int = 0
    told: list[str] = attrs.Factory(list)
    waiting: Deferred[Any] | None = None

    def count(self) -> int:
        """One more."""
        self.number += 1
        return self.number

    def stubborn(self) -> Any:
        """A tool that takes no end for an answer."""

        @tool
        async def stubborn(call: Call) -> str:
            """Ask, and catch whatever comes."""
            call.on_cancel(lambda: self.told.append("on_cancel"))
            try:
                self.waiting = call.elicit("Your name?", Name)
                await self.waiting
                self.told.append("answered")
            except Exception as error:
                self.told.append(type(error).__name__)
            finally:
                self.told.append("finally")
            return "swallowed"

        return stubborn


RUNS = Runs()
TOOLS = (greet, two_rounds, several, after_progress, careful, visit, connected_only, by_callback, about, notes)


def ask_modern(server: Server, name: str, params: Mapping[str, Any] | None = None, **more: Any) -> Any:
    """Call a tool as a client of 2026-07-28 that can be asked everything, with more params."""
    meta = {CAPABILITIES: more.pop("capabilities", ALL), **more.pop("meta", {})}
    arguments = more.pop("arguments", {})
    return server.modern("tools/call", {"name": name, "arguments": arguments, **(params or {})}, meta=meta, **more)


def legacy_session(server: Server, version: str = LATEST_LEGACY, capabilities: Mapping[str, Any] = ALL) -> Session:
    """A client with a handshake that can be asked."""
    answer = server.initialize(version, capabilities=capabilities)
    return Session(server, answer.headers["mcp-session-id"], version)
