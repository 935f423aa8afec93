"""The attacks. Each is done as fast as one process can, is bounded in number and time, and says what it saw.

    python -m tests.abuse.attacks NAME HOST PORT SCALE

prints one line of JSON: what happened, and what should not have happened. SCALE is 1 for the long form.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import secrets
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence

import attrs

from tests.abuse.wire import INITIALIZE, Target, Wire, call, connect, head, message, modern, post

HEADERS_SECONDS = 2.0
BODY_SECONDS = 2.0
IDLE_SECONDS = 3.0
STALL_SECONDS = 3.0
SLACK = 4.0
"""Seconds on top of a deadline: it is kept to within two, and the machine is busy."""
OPTIONS = {
    "header-timeout": HEADERS_SECONDS,
    "body-timeout": BODY_SECONDS,
    "idle-timeout": IDLE_SECONDS,
    "write-stall": STALL_SECONDS,
    "max-sessions": 200,
    "session-idle": 5.0,
}
"""What the server under attack is started with: deadlines that a test can wait for, and few sessions."""

PATIENCE = 60.0
"""Seconds on top of a deadline that begins at another time for each of thousands."""
AT_ONCE = 200


@attrs.frozen
class Outcome:
    """What an attack came to: a sentence, and what should not have happened."""

    note: str
    problems: Sequence[str] = ()


Attack = Callable[[Target, float], Awaitable[Outcome]]
ATTACKS: dict[str, Attack] = {}


def attack(function: Attack) -> Attack:
    """Make it one of the attacks, by its name."""
    ATTACKS[function.__name__] = function
    return function


def source(number: int) -> str:
    """One of many addresses of the attacker; none of them is the witness's."""
    return f"127.0.{1 + number // 200 % 200}.{1 + number % 200}"


async def many(works: Iterable[Awaitable[None]], at_once: int = AT_ONCE) -> None:
    """Do all of these, so many at once."""
    gate = asyncio.Semaphore(at_once)

    async def one(work: Awaitable[None]) -> None:
        async with gate:
            await work

    await asyncio.gather(*map(one, works))


async def crowd(target: Target, count: int, first: bytes, buffer: int | None = None) -> list[Wire]:
    """Connect so often, each time from another address, and send something."""
    wires: list[Wire] = []

    async def one(number: int) -> None:
        wire = await connect(target, source(number), buffer=buffer)
        if wire is not None:
            wires.append(wire)
            await wire.send(first)

    await many(map(one, range(count)))
    return wires


async def ended(wires: Sequence[Wire], seconds: float) -> int:
    """How many of these the server has ended within so many seconds; all are closed then."""
    found = await asyncio.gather(*(wire.ends(seconds) for wire in wires))
    for wire in wires:
        wire.close()
    return sum(found)


async def dripped(target: Target, count: int, first: bytes, deadline: float) -> Outcome:
    """Send a beginning, then a byte now and then; the server has to end it by the deadline all the same."""
    wires = await crowd(target, count, first)

    async def drip(wire: Wire) -> None:
        while await wire.send(b"x"):
            await asyncio.sleep(0.4)

    drips = [asyncio.ensure_future(drip(wire)) for wire in wires]
    over = await ended(wires, deadline + SLACK)
    for one in drips:
        one.cancel()
    problems = [] if over == len(wires) else [f"{len(wires) - over} connections outlived the deadline"]
    return Outcome(f"{over} of {count} ended by the server", problems)


@attack
async def slow_headers(target: Target, scale: float) -> Outcome:
    """Headers that come a byte at a time."""
    return await dripped(
        target, int(2000 * scale), b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ", HEADERS_SECONDS
    )


@attack
async def slow_bodies(target: Target, scale: float) -> Outcome:
    """Bodies that come a byte at a time."""
    return await dripped(target, int(2000 * scale), head("Content-Length: 100000"), BODY_SECONDS)


@attack
async def endless_bodies(target: Target, scale: float) -> Outcome:
    """Chunked bodies without an end, and bodies and heads that are too large from the start."""
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    seen: Counter[str] = Counter()

    async def endless(number: int) -> None:
        wire = await connect(target, source(number))
        if wire is None:
            return
        await wire.send(head("Transfer-Encoding: chunked"))
        sent = 0
        while sent < 64 and await wire.send(chunk):  # 4 MiB are the limit
            sent += 1
        seen[str(await wire.status(1.0))] += 1
        seen["too much taken"] += int(sent >= 1000)
        wire.close()

    async def oversized(number: int) -> None:
        beginnings = (
            head("Content-Length: 10737418240"),
            head("Content-Length: " + "9" * 5000),
            head("X-Long: " + "x" * 100_000),
            head(*[f"X-{line}: 1" for line in range(5000)]),
            b"POST /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        )
        wire = await connect(target, source(number))
        if wire is not None:
            await wire.send(beginnings[number % len(beginnings)])
            seen[f"{await wire.status()}"] += 1
            wire.close()

    await many([*map(endless, range(int(400 * scale))), *map(oversized, range(int(1000 * scale)))], 50)
    good = [status for status in seen if status.startswith("2")]
    return Outcome(counted(seen), [f"answered with {status}" for status in good])


@attack
async def idle_connections(target: Target, scale: float) -> Outcome:
    """Connections that say nothing, or stop in the middle of a head."""
    count = int(10_000 * scale)
    silent = await crowd(target, count // 2, b"")
    halved = await crowd(target, count // 2, b"POST /mcp HTTP/1.1\r\nHost: 127.0")
    over = await ended([*silent, *halved], max(IDLE_SECONDS, HEADERS_SECONDS) + SLACK)
    left = len(silent) + len(halved) - over
    return Outcome(f"{len(silent) + len(halved)} of {count} connected, {over} ended by the server", left_over(left))


@attack
async def sessions(target: Target, scale: float) -> Outcome:
    """Handshakes, and no word after them."""
    seen: Counter[str] = Counter()

    async def some(number: int) -> None:
        for _ in range(100):
            wire = await connect(target, source(number))
            if wire is not None:
                await wire.send(INITIALIZE)
                seen[str(await wire.status())] += 1
                wire.close()

    await many(map(some, range(max(1, int(100 * scale)))), 10)
    # more than fit were opened, one after another, as those that nobody has used make room for new ones
    return Outcome(counted(seen), [] if seen["503"] else ["nobody was refused"])


@attack
async def stalled_readers(target: Target, scale: float) -> Outcome:
    """Streams that nobody reads."""
    count = int(5000 * scale)
    wires = await crowd(target, count, call("firehose", {"size": 32768}, token="t"), buffer=4096)
    for wire in wires:
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
    loop = asyncio.get_running_loop()
    end = loop.time() + STALL_SECONDS + PATIENCE  # to fill so many buffers takes a while
    while loop.time() < end and not all(wire.cut for wire in wires):
        await asyncio.sleep(0.2)
    over = sum(wire.cut for wire in wires)
    for wire in wires:
        wire.close()
    return Outcome(f"{len(wires)} of {count} streams opened, {over} cut by the server", left_over(len(wires) - over))


@attack
async def resets(target: Target, scale: float) -> Outcome:
    """A reset at each byte of a streamed answer, and of a short one."""
    done = 0

    async def at(request: bytes, byte: int) -> None:
        nonlocal done
        wire = await connect(target, source(byte))
        if wire is None:
            return
        await wire.send(request)
        read = 0
        while read < byte and (data := await wire.receive(2.0)):
            read += len(data)
        wire.reset()
        done += 1

    for request, size in ((call("story", token="t"), 1300), (call("echo", {"text": "x"}), 400)):
        await many((at(request, byte) for byte in range(0, size, max(1, round(0.1 / scale)))), 20)
    return Outcome(f"{done} answers reset")


@attack
async def flood(target: Target, scale: float) -> Outcome:
    """As many calls as possible from one address."""
    seen: Counter[str] = Counter()

    async def caller(number: int) -> None:
        wire = None
        for _ in range(int(2000 * scale)):
            wire = wire or await connect(target, "127.0.250.1")
            if wire is None:
                seen["no connection"] += 1
                await asyncio.sleep(0.05)
                continue
            await wire.send(call("echo", {"text": "x"}))
            status = await wire.status()
            seen[str(status)] += 1
            if status is None:
                wire.close()
                wire = None
        if wire is not None:
            wire.close()

    await many(map(caller, range(16)), 16)
    return Outcome(counted(seen), [] if seen["429"] else ["nothing was limited"])


@attack
async def malformed_http(target: Target, scale: float) -> Outcome:
    """Requests with bytes changed, left out, doubled and put in."""
    chance = random.Random(20261120)
    whole = [
        call("echo", {"text": "x"}),
        INITIALIZE,
        b"GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        head("Expect: 100-continue"),
    ]
    return await refused_or_served(target, [spoiled(chance.choice(whole), chance) for _ in range(int(5000 * scale))])


def spoiled(request: bytes, chance: random.Random) -> bytes:
    """A request with up to eight things wrong."""
    data = bytearray(request)
    for _ in range(chance.randint(1, 8)):
        place = chance.randrange(len(data))
        piece = bytes(data[place : place + chance.randint(1, 20)])
        change = chance.choice((b"", piece + piece, chance.randbytes(3), b"\r\n", b"\n", b"\0", b" ", b":"))
        data[place : place + len(piece)] = change
        data = data or bytearray(b"x")
    return bytes(data)


@attack
async def malformed_json(target: Target, scale: float) -> Outcome:
    """Bodies that are deep, huge, broken, or not what they seem."""
    bodies = [
        b"",
        b"\xff\xfe",
        b"{",
        b"null",
        b"1e400",
        b"[]",
        b"[" * 100_000,
        b"[" * 1000 + b"]" * 1000,
        b'{"a":' * 100_000,
        b'{"jsonrpc":"2.0","id":' + b"9" * 100_000 + b',"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1e309,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping","method":"x"}',
        b'{"jsonrpc":"2.0","id":null,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}',
        b'{"jsonrpc":"2.0","id":"\\ud800","method":"tools/list"}',
        b'"' + b"a" * 3_000_000 + b'"',
        message("tools/call", {"name": "echo", "arguments": {"text": 10**400}}),
        message("tools/call", {"name": "x" * 1_000_000, "arguments": {}}),
        message("x" * 1_000_000),
        message("tools/list", {"cursor": "x" * 100_000}),
        message("completion/complete", {"ref": {"type": "ref/prompt", "name": "x" * 10_000}, "argument": {}}),
        message("tools/call", {"name": "echo", "arguments": deep(300)}),
        message("tools/call", {"name": "echo", "_meta": deep(300)}),
    ]
    requests = [post(body) for body in bodies] + [modern(body, "tools/call", "echo") for body in bodies]
    return await refused_or_served(target, requests * max(1, int(20 * scale)))


def deep(levels: int) -> dict[str, object]:
    """An object in an object in an object."""
    found: dict[str, object] = {}
    for _ in range(levels):
        found = {"a": found}
    return found


@attack
async def smuggling(target: Target, scale: float) -> Outcome:
    """Requests whose length or meaning two readers may read in two ways; and what would be smuggled behind them."""
    body, second = message("ping"), call("echo", {"text": "smuggled"})
    twice = ("MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/list")
    ambiguous = {
        "two lengths": head("Content-Length: 5", f"Content-Length: {len(body)}") + body,
        "a length and chunks": head("Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        "a signed length": head(f"Content-Length: +{len(body)}") + body,
        "an unknown coding": head("Transfer-Encoding: xchunked") + b"0\r\n\r\n",
        "chunked twice": head("Transfer-Encoding: chunked", "Transfer-Encoding: identity") + b"0\r\n\r\n",
        "a space before the colon": head(f"Content-Length : {len(body)}") + body,
        "a folded line": head("X-Folded: a", " b: c", f"Content-Length: {len(body)}") + body,
        "a bad chunk size": head("Transfer-Encoding: chunked") + b"-1\r\n\r\n",
        "two hosts": head("Host: evil.example", f"Content-Length: {len(body)}") + body,
        "no method header twice": post(message("tools/list"), *twice, "Mcp-Method: tools/call"),
        "two versions": post(message("tools/list"), *twice, "MCP-Protocol-Version: 2025-11-25"),
        "two names": post(message("tools/call", {"name": "echo"}), *twice, "Mcp-Name: echo", "Mcp-Name: add"),
        "two sessions": post(body, "Mcp-Session-Id: a", "Mcp-Session-Id: b"),
    }
    problems = []
    for name, request in ambiguous.items():
        wire = await connect(target, source(1))
        if wire is None:
            return Outcome("no connection", ["the server could not be reached"])
        await wire.send(request + second)
        answer = b""
        while data := await wire.receive(0.5):
            answer += data
        wire.close()
        if not answer.startswith(b"HTTP/1.1 4"):
            problems.append(f"{name}: {answer[:60]!r}")
        elif b"smuggled" in answer and name not in _WHOLE:
            problems.append(f"{name}: what came behind it was served")
    return Outcome(f"{len(ambiguous)} requests refused", problems)


_WHOLE = {"a folded line", "two hosts", "no method header twice", "two versions", "two names", "two sessions"}
"""Refused for what they say, not for where they end: the next request on their connection is an honest one."""


@attack
async def hostile_arguments(target: Target, scale: float) -> Outcome:
    """Arguments made to keep a pattern or a schema busy."""
    tree: dict[str, object] = {}
    for _ in range(200):
        tree = {"next": tree}
    requests = [
        call("picky", {"text": "a" * 50_000}),
        call("picky", {"text": "a" * 30 + "!"}),
        call("picky", {"text": "aA" * 20_000}),
        call("nested", {"node": tree}),
        call("nested", {"node": {"next": tree, "left": tree, "right": tree}}),
    ]
    return await refused_or_served(target, requests * max(1, int(20 * scale)))


@attack
async def foreign_ids(target: Target, scale: float) -> Outcome:
    """Sessions, events, tasks and cursors of nobody."""
    requests = []
    for _ in range(int(500 * scale)):
        unknown = f"Mcp-Session-Id: {secrets.token_urlsafe(24)}"
        event = f"Last-Event-ID: {secrets.token_urlsafe(8)}"
        task = secrets.token_urlsafe(24)
        rest = f"Host: 127.0.0.1\r\nAccept: text/event-stream\r\n{unknown}\r\n{event}\r\n\r\n"
        requests += [
            post(message("tools/list"), unknown),
            f"GET /mcp HTTP/1.1\r\n{rest}".encode(),
            f"DELETE /mcp HTTP/1.1\r\n{rest}".encode(),
            modern(message("tasks/get", {"taskId": task}), "tasks/get", task),
            modern(message("tools/list", {"cursor": task}), "tools/list"),
        ]
    return await refused_or_served(target, requests, served=())


async def refused_or_served(
    target: Target, requests: Sequence[bytes], served: Sequence[str] = ("200", "202")
) -> Outcome:
    """Send each on a connection of its own; whatever it is, the answer is no fault of the server's own."""
    seen: Counter[str] = Counter()

    async def one(number: int) -> None:
        wire = await connect(target, source(number))
        if wire is None:
            seen["no connection"] += 1
            return
        await wire.send(requests[number])
        wire.writer.write_eof()
        seen[str(await wire.status(5.0))] += 1
        wire.close()

    await many(map(one, range(len(requests))), 20)
    wrong = [status for status in seen if status.startswith("5") or (status.startswith("2") and status not in served)]
    return Outcome(counted(seen), [f"{seen[status]} answered with {status}" for status in wrong])


def counted(seen: Counter[str]) -> str:
    """How often each thing was seen."""
    return ", ".join(f"{seen[what]} x {what}" for what in sorted(seen) if seen[what])


def left_over(count: int) -> list[str]:
    """The problem that so many connections were not ended."""
    return [f"{count} connections outlived the deadline"] if count else []


def main(name: str, target: Target, scale: float) -> None:
    """Attack, and print what it came to."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    async def run() -> Outcome:
        return await ATTACKS[name](target, scale)

    print(json.dumps(attrs.asdict(asyncio.run(run()))))


if __name__ == "__main__":
    main(sys.argv[1], Target(sys.argv[2], int(sys.argv[3])), float(sys.argv[4]))
