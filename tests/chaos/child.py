"""A small server for stdio, run as a child, to which something happens at one byte: `child.py ERA KIND WAY AT FOLDER`.

It happens once for all children of a folder; there they also write down what they have done, and who they are. The
kinds are those of `faults`, but that a reset is the death of the child, and a cut the end of its output.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

ERA, KIND, WAY, AT, FOLDER = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]
PASSED = {"up": 0, "down": 0}
PAUSES = {"split": 0.003, "delay": 0.05}
RECORD = os.open(FOLDER + "/record", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
KEYS: dict[Any, str] = {}


def note(what: str, key: object) -> None:
    """Write down what has happened."""
    os.write(RECORD, f"{what} {key} {time.time():.6f}\n".encode())


def strike() -> None:
    """It happens."""
    if KIND in PAUSES:
        signal.setitimer(signal.ITIMER_REAL, PAUSES[KIND])
        signal.sigwait([signal.SIGALRM])
    elif KIND == "reset":
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        if KIND == "cut":
            os.close(1)
        while os.read(0, 65536):
            pass
        sys.exit()


def passing(way: str, count: int) -> int:
    """How many of these bytes pass before it happens; all, if it does not happen here."""
    before = PASSED[way]
    if way == WAY and before <= AT <= before + count:
        try:
            os.close(os.open(FOLDER + "/struck", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            pass
        else:
            return AT - before
    return count + 1


def say(**message: Any) -> None:
    """Write a message."""
    data = json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode() + b"\n"
    end = passing("down", len(data))
    PASSED["down"] += len(data)
    os.write(1, data[:end])
    if end <= len(data):
        strike()
        os.write(1, data[end:])


def answer(request: dict[str, Any]) -> Any:
    """The result of a request that is no call; None if it is not known."""
    method = request["method"]
    if method == "server/discover" and ERA == "modern":
        return {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "resultType": "complete"}
    if method == "initialize" and ERA == "legacy":
        info = {"name": "chaos", "version": "1"}
        return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        return {"tools": [{"name": "count", "inputSchema": {"type": "object"}}], "resultType": "complete"}
    return None


def call(request: dict[str, Any]) -> None:
    """Work."""
    params = request["params"]
    key = params["arguments"]["key"]
    note("executed", key)
    for step in (1, 2):
        token = params["_meta"]["progressToken"]
        say(method="notifications/progress", params={"progressToken": token, "progress": step})
    if params["name"] == "linger":
        KEYS[request["id"]] = key
    else:
        content = [{"type": "text", "text": f"counted {key}"}]
        say(id=request["id"], result={"content": content, "resultType": "complete"})


def take(request: dict[str, Any]) -> None:
    """A message has come."""
    if request["method"] == "tools/call":
        call(request)
    elif request["method"] == "notifications/cancelled":
        note("cancelled", KEYS.pop(request["params"]["requestId"], "nothing"))
    elif "id" in request:
        result = answer(request)
        if result is None:
            say(id=request["id"], error={"code": -32601, "message": "Method not found"})
        else:
            say(id=request["id"], result=result)


def main() -> None:
    """Serve until the end of the input."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    note("started", os.getpid())
    held = b""
    while data := os.read(0, 65536):
        end = passing("up", len(data))
        PASSED["up"] += len(data)
        if end <= len(data):
            strike()
        *lines, held = (held + data).split(b"\n")
        for line in lines:
            take(json.loads(line))
    with open(FOLDER + "/passed", "w") as file:
        json.dump(PASSED, file)


if __name__ == "__main__":
    main()
