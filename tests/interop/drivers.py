"""The programs in `clients/`: each drives a client of others through a plan, and prints what came of it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.interop.peers import Peers

CLIENTS = Path(__file__).with_name("clients")

LATEST_LEGACY = "2025-11-25"
MODERN = "2026-07-28"

PLAN = [
    {"tool": "echo", "arguments": {"text": "Grüße, 世界"}},
    {"tool": "add", "arguments": {"a": 1, "b": 2.5}},
    {"tool": "countdown", "arguments": {"start": 50, "interval": 0}},
    {"tool": "ticker", "arguments": {"interval": 0.01, "count": 20}},
    {"tool": "watched", "abort_after": 3},
    {"tool": "echo", "arguments": {"text": "still here"}},
]


def official(peers: Peers) -> list[str]:
    """The official Python client, from PyPI."""
    return [str(peers.python), str(CLIENTS / "official_client.py")]


def npm_client(peers: Peers) -> list[str]:
    """The official TypeScript client of today, from npm."""
    return [str(peers.node), str(CLIENTS / "npm_client.mjs"), str(peers.node_modules)]


def npm_sdk(peers: Peers) -> list[str]:
    """The TypeScript SDK 1.x, which most clients in the field still use."""
    return [str(peers.node), str(CLIENTS / "npm_sdk.mjs"), str(peers.node_modules)]


def carry_out(command: list[str]) -> Any:
    """Run a driver with its target, era and plan, and return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(outcome: Any, version: str | None, hasty: bool = False) -> None:
    """What has to come of the plan, over any transport.

    Args:
        outcome: What a driver printed.
        version: The version that the client tells; None if it tells none.
        hasty: The client forgets who wants progress when it reads the reply, before it passes on the progress that it
            has read in the same piece; so the last step may be lost.
    """
    echo, add, countdown, ticker, watched, again = outcome["calls"]
    assert outcome["version"] == version
    assert {"echo", "add", "countdown", "ticker", "system_stats"} <= set(outcome["tools"])
    assert echo["text"] == ["Grüße, 世界"]
    assert add["structured"] == {"sum": 3.5}
    steps = [[value, 50, f"{50 - value} to go"] for value in range(50)] + [[50, 50, "Lift-off"]]
    assert countdown["progress"] in ([steps, steps[:-1]] if hasty else [steps])
    assert countdown["text"] == ["Counted down from 50."]
    ticks = [step[0] for step in ticker["progress"]]
    assert ticks in ([[*range(1, 21)], [*range(1, 20)]] if hasty else [[*range(1, 21)]])
    assert watched["aborted"]
    assert len(watched["progress"]) >= 3
    assert again["text"] == ["still here"]
