"""A small server for stdio, run as a child: it behaves, but for what its arguments name.

dies              ends after the first call, before its answer
answers-and-dies  ends right after the answer to the first call
modern            speaks 2026-07-28; otherwise 2025-11-25
strict            ends when its first message is not initialize
mute              does not answer what it does not know
deaf              reads nothing after the handshake
stubborn          ignores SIGTERM and the end of its input
parent            has a child of its own that holds its output open, and ignores the end of its input
orphan            has one that ignores SIGTERM, and holds no pipe
garbage           writes what is no message before each message
flood             writes much to standard error
closes            closes its output after the handshake, and lives on
slow              takes its time to start
long              answers each call with a line of 3,000,000 bytes, then as usual
ends              ends at once, with a word on standard error
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from threading import Event
from typing import Any

MODES = set(sys.argv[1:])
SLEEPER = """
import os, signal, sys, time
for number in {ignored}:
    signal.signal(number, signal.SIG_IGN)
os.write({ready}, b"!")
os.close({ready})
time.sleep(600)
"""


def write(**message: Any) -> None:
    """Write a message."""
    if "garbage" in MODES:
        os.write(1, b"Server is \xff ready!\n\n{}\n[\n")
    data = json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"
    while data:
        data = data[os.write(1, data) :]


def grandchild(ignored: list[int], **streams: Any) -> int:
    """Start a process that sleeps."""
    told, ready = os.pipe()
    code = SLEEPER.format(ignored=ignored, ready=ready)
    process = subprocess.Popen([sys.executable, "-S", "-c", code], pass_fds=[ready], **streams)
    os.read(told, 1)
    return process.pid


def answer(request: dict[str, Any]) -> Any:
    """The result of a request; None if it is not known."""
    method, params = request["method"], request.get("params", {})
    if method == "server/discover" and "modern" in MODES:
        return {"supportedVersions": ["2026-07-28"], "capabilities": {}, "resultType": "complete"}
    if method == "initialize" and "modern" not in MODES:
        return {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "bad", "version": "1"}}
    if method == "tools/call":
        return call(request["id"], params)
    return {"tools": [], "pid": os.getpid()} if method == "tools/list" else None


def call(name: Any, params: dict[str, Any]) -> Any:
    """The result of a call."""
    if "dies" in MODES:
        os._exit(3)
    if "long" in MODES:
        write(id=name, result={"content": [{"type": "text", "text": "x" * 3_000_000}]})
    token = params.get("_meta", {}).get("progressToken")
    if token is not None:
        for step in range(3):
            write(method="notifications/progress", params={"progressToken": token, "progress": step})
    seen = {"environment": dict(os.environ), "cwd": os.getcwd(), "arguments": params.get("arguments")}
    return {"content": [], "pid": os.getpid(), "group": os.getpgid(0), "grandchild": GRANDCHILD, **seen}


def main() -> None:
    """Serve until the end of the input."""
    first = True
    for line in sys.stdin.buffer:
        request = json.loads(line)
        if first and "strict" in MODES and request["method"] != "initialize":
            sys.exit("The first message must be initialize")
        first = False
        if "id" not in request:
            continue
        result = answer(request)
        if result is not None:
            write(id=request["id"], result=result)
        elif "mute" not in MODES:
            write(id=request["id"], error={"code": -32601, "message": "Method not found"})
        if request["method"] == "tools/call" and "answers-and-dies" in MODES:
            sys.exit(0)
        if request["method"] in ("initialize", "server/discover") and result is not None:
            greeted()
    while "stubborn" in MODES:
        Event().wait(600)


def greeted() -> None:
    """The handshake is over."""
    if "closes" in MODES:
        os.close(1)
        Event().wait(600)
    while "deaf" in MODES:
        Event().wait(600)
    if "flood" in MODES:
        for _ in range(200):
            os.write(2, b"\x1b[31merror\n" * 1000)


GRANDCHILD = 0
if __name__ == "__main__":
    if "ends" in MODES:
        sys.exit("no such database")
    if "slow" in MODES:
        Event().wait(0.5)
    if "stubborn" in MODES:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "parent" in MODES:
        GRANDCHILD = grandchild([])
    if "orphan" in MODES:
        null = subprocess.DEVNULL
        GRANDCHILD = grandchild([signal.SIGTERM.value], stdin=null, stdout=null, stderr=null)
    main()
