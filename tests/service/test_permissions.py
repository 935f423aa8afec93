"""The rules of who may use what, from the configuration to the process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from mcpserve.errors import ConfigurationError, Refusal
from mcpserve.features.discovery import Found
from mcpserve.policy.access import Access
from mcpserve.policy.callers import Caller
from mcpserve.policy.rules import read_access
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.revisions import V2026_07_28
from mcpserve.service.daemon import Daemon
from mcpserve.service.permissions import check_rules
from mcpserve.service.plugins import load
from mcpserve.service.settings import Settings
from mcpserve.service.stdio import LineServer
from tests.recording import exchange_of
from tests.wire.pipes import Client

PLUGIN = """
from mcpserve import resource, tool

@tool
def echo() -> str:
    "Say it."
    return ""

@tool(enabled=False)
def off() -> str:
    "Be off."
    return ""

@resource("note://{day}/{+path}")
def note(day: str, path: str) -> str:
    "Be a note."
    return ""

@resource("plan://today")
def plan() -> str:
    "Be a plan."
    return ""
"""
ANN = Caller(name="ann")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with a plugin."""
    (tmp_path / "plugin.py").write_text(PLUGIN)
    return tmp_path


def settings(folder: Path, rules: Any, **more: Any) -> Settings:
    """Settings with these rules."""
    return Settings(plugins=(str(folder),), shipped=False, access=read_access(rules), **more)


@pytest.mark.parametrize(
    "rules",
    [
        {"tools": {"echo": "nobody", "e*": "nobody", "*": "nobody", "off": "nobody"}},
        {"resources": {"note://{day}/{+path}": "nobody", "note://*": "nobody", "*": "nobody"}},
        {"resources": {"note://monday/a": "nobody", "no*": "nobody", "note://monday/*": "nobody"}},
        {"resources": {"plan://today": "nobody", "plan://%74oday*": "nobody"}},
    ],
)
def test_rules_that_name_something(folder: Path, rules: Any) -> None:
    """A tool that is off counts as well, and so does what a template may be asked for."""
    assert load(settings(folder, rules)).tools.get("echo") is not None
    assert load(settings(folder, rules, without=("echo",))).tools.get("echo") is None


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"tools": {"ehco": "nobody"}}, "access.tools.'ehco': nothing is named so; there are: echo, off"),
        ({"tools": {"del*": "nobody"}}, "access.tools.'del*'"),
        ({"prompts": {"*": "nobody"}}, "access.prompts.'*': nothing is named so; there are: none"),
        ({"resources": {"plan://tomorrow": "nobody"}}, "access.resources.'plan://tomorrow'"),
        ({"resources": {"notes://*": "nobody"}}, "access.resources.'notes://*'"),
        ({"resources": {"note:": "nobody"}}, "access.resources.'note:'"),
    ],
)
def test_a_rule_that_names_nothing(folder: Path, rules: Any, words: str) -> None:
    """It would protect nothing: the server does not start with it."""
    with pytest.raises(ConfigurationError) as caught:
        load(settings(folder, rules))
    assert words in str(caught.value)


def test_without_rules_nothing_is_asked() -> None:
    """Whatever there is."""
    check_rules(Access(), Found())


def test_the_daemon_goes_by_them(folder: Path) -> None:
    """And its challenge names where there are tokens to be had."""
    given = settings(
        folder,
        {"tools": {"echo": {"scopes": ["say"]}}},
        issuers=("https://issuer.example",),
        public_url="https://mcp.example",
    )
    daemon = Daemon(MemoryReactorClock(), given, load(given))
    exchange, _ = exchange_of("tools/call", {"name": "echo"})
    with pytest.raises(Refusal) as caught:
        daemon.offer.features.tools.call(exchange, RequestMetadata(revision=V2026_07_28), ANN)
    challenge = caught.value.headers["WWW-Authenticate"]
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="say"' in challenge
    assert 'resource_metadata="https://mcp.example/.well-known/oauth-protected-resource/mcp"' in challenge


@pytest.mark.parametrize("local", [{}, {"groups": ["ops"]}])
def test_stdio_goes_by_them(folder: Path, local: Any) -> None:
    """Who starts the server has the standing that the rules give, in both eras; by default none."""
    given = settings(folder, {"tools": {"echo": {"groups": ["ops"]}}, "local": local})
    for legacy in (False, True):
        server = LineServer(MemoryReactorClock(), given, load(given))
        server.start()
        client = Client(server.protocol)
        if legacy:
            client.settle("2025-11-25")
        ask = client.ask if legacy else client.modern
        assert [one["name"] for one in ask("tools/list", id=1)["result"]["tools"]] == (["echo"] if local else [])
        assert ("result" in ask("tools/call", {"name": "echo"}, id=2)) == bool(local)
        server.offer.stop()
