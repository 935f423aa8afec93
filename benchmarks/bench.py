"""The place where the cases run: how much is measured, on which cores, with which programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs

from benchmarks import calls, serving
from benchmarks.load import Load
from benchmarks.measure import Cores
from benchmarks.peers import Peer, Programs


@attrs.frozen(kw_only=True)
class Plan:
    """How much of everything is measured.

    Attributes:
        seconds: The length of one measurement.
        connections: How many connections the echo case keeps busy, in turn.
        streams: How many streams the ticks case opens, in turn.
        cycles: How many streams the cancel case opens and closes.
    """

    seconds: float
    connections: Sequence[int] = (1, 16, 64, 256)
    streams: Sequence[int] = (1000, 5000)
    cycles: int = 4000


QUICK = Plan(seconds=1, connections=(1, 64), streams=(200, 1000), cycles=400)


@attrs.frozen(kw_only=True)
class Bench:
    """The place where the cases run.

    Attributes:
        plan: How much is measured.
        programs: What the peers run on.
        load: The load programs.
        cores: Where the two sides run.
        folder: A folder for what is written while it runs.
    """

    plan: Plan
    programs: Programs
    load: Load
    cores: Cores
    folder: Path

    @property
    def cancelled(self) -> Path:
        """The file where servers write when a call was cancelled."""
        return self.folder / "cancelled"

    @contextmanager
    def serving(self, peer: Peer, case: str) -> Iterator[Target]:
        """A peer, started fresh, with a session if it is asked in one."""
        port = serving.free_port()
        self.cancelled.write_text("")
        with serving.serving(
            command=peer.command(self.programs, port, case),
            port=port,
            core=self.cores.server,
            environment={"BENCH_CANCELLED": str(self.cancelled)},
            log=self.folder / f"{peer.name}.log",
        ) as server:
            yield Target(server=server, session=calls.open_session(port) if peer.session else None)


@attrs.frozen(kw_only=True)
class Target:
    """A running peer and how to address it."""

    server: serving.Server
    session: str | None

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self.server.port

    def request(self, call: calls.Call) -> bytes:
        """The template of a request in the era of the peer."""
        if self.session is None:
            return calls.modern_request(self.port, call)
        return calls.session_request(self.port, self.session, call)


@attrs.frozen
class Reading:
    """What a case read off: which load, and the metrics."""

    load: str
    values: Mapping[str, float]


Case = Callable[[Bench, Peer], Iterator[Reading]]
