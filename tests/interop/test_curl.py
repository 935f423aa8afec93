"""What a person with curl sees: events as they happen, and a tool that stops when curl is killed."""

from __future__ import annotations

import itertools
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.interop.raw import Request, loops_running, tool_call
from tests.interop.served import Served, eventually

pytestmark = pytest.mark.interop


@contextmanager
def curl(url: str, request: Request) -> Iterator[subprocess.Popen[str]]:
    """Run `curl -N` on a request; its output can be read line by line."""
    headers = [part for name, value in request.headers.items() for part in ("-H", f"{name}: {value}")]
    command = ["curl", "-sSN", "--max-time", "30", *headers, "--data-binary", request.body.decode(), url]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def messages(process: subprocess.Popen[str]) -> Iterator[tuple[float, Any]]:
    """The JSON of each event, with the time of its arrival."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("data:"):
            yield time.monotonic(), json.loads(line.removeprefix("data:"))


def test_events_arrive_one_by_one(server: Served) -> None:
    """Ticks arrive at their interval, the first at once, not together at the end."""
    request = tool_call("ticker", {"interval": 0.2, "count": 5}, "t")
    started = time.monotonic()
    with curl(server.url, request) as process:
        seen = list(messages(process))
        assert process.wait(10) == 0
    *ticks, (_, last) = seen
    assert [message["params"]["progress"] for _, message in ticks] == [1, 2, 3, 4, 5]
    assert last["result"]["content"][0]["text"] == "Sent 5 ticks."
    assert ticks[0][0] - started < 1
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(ticks)]
    assert min(gaps) > 0.1, gaps


def test_killing_curl_stops_the_ticker(server: Served) -> None:
    """When curl is killed, the ticker's loop stops and the log says so."""
    before = server.log.read_text().count("client gone")
    with curl(server.url, tool_call("ticker", {"interval": 0.05, "count": 100000}, "t")) as process:
        stream = messages(process)
        for _ in range(3):
            next(stream)
    eventually("the log tells of it", lambda: server.log.read_text().count("client gone") == before + 1, 5)


def test_killing_curl_leaves_no_loop(server: Served) -> None:
    """When curl is killed, the loop that belongs to its call no longer runs."""
    with curl(server.url, tool_call("watched", progress_token="t")) as process:
        next(messages(process))
        assert loops_running(server.url) == 1
    eventually("its loop stops", lambda: loops_running(server.url) == 0, 5)
