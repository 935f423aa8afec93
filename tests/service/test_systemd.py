"""What systemd hears of us, by the datagrams that it gets."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from mcpserve.service.settings import Settings, read_file
from mcpserve.service.systemd import Supervisor

UNITS = Path(__file__).resolve().parents[2] / "docs" / "examples" / "systemd"


@pytest.fixture
def hearing(tmp_path: Path) -> Iterator[socket.socket]:
    """Where systemd hears."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.setblocking(False)
        yield heard


def said(hearing: socket.socket) -> list[str]:
    """What has been said since."""
    found = []
    while True:
        try:
            found.append(hearing.recv(4096).decode())
        except BlockingIOError:
            return found


def test_a_life(hearing: socket.socket, tmp_path: Path) -> None:
    """Ready, reloading with the time, ready again, stopping; each with its words."""
    supervisor = Supervisor(Clock(), {"NOTIFY_SOCKET": str(tmp_path / "notify")}, 7)
    supervisor.ready("Serving\n3 tools")
    supervisor.reloading(1.5)
    supervisor.ready("Serving 4 tools")
    supervisor.stopping()
    assert said(hearing) == [
        "READY=1\nSTATUS=Serving 3 tools",
        "RELOADING=1\nMONOTONIC_USEC=1500000",
        "READY=1\nSTATUS=Serving 4 tools",
        "STOPPING=1\nSTATUS=Finishing what runs",
    ]


def test_signs_of_life(hearing: socket.socket, tmp_path: Path) -> None:
    """Twice in each span that systemd waits, from the moment of being ready to the end."""
    clock = Clock()
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "7"}
    supervisor = Supervisor(clock, environ, 7)
    clock.advance(10)
    assert said(hearing) == []
    supervisor.ready("x")
    supervisor.ready("x")
    clock.pump([1.0] * 4)
    assert said(hearing).count("WATCHDOG=1") == 3
    supervisor.stop()
    supervisor.stop()
    clock.advance(10)
    assert said(hearing) == []
    assert clock.getDelayedCalls() == []


def test_children_do_not_speak_for_us(tmp_path: Path) -> None:
    """What is for us alone is gone from the environment."""
    environ = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "7", "HOME": "/root"}
    Supervisor(Clock(), environ, 7)
    assert environ == {"HOME": "/root"}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "4000000"},
        {"NOTIFY_SOCKET": "nonsense", "WATCHDOG_USEC": "4000000"},
        {"NOTIFY_SOCKET": "/no/such", "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "8"},
        {"NOTIFY_SOCKET": "/no/such", "WATCHDOG_USEC": "nonsense"},
    ],
)
def test_nobody_hears(environ: dict[str, str]) -> None:
    """Then nothing is said, or one line is logged, and nothing is left in the reactor."""
    clock = Clock()
    supervisor = Supervisor(clock, environ, 7)
    supervisor.ready("x")
    supervisor.stopping()
    assert clock.getDelayedCalls() == []


def test_a_socket_in_no_file_system() -> None:
    """systemd may name one with @."""
    name = f"mcpserve-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("\0" + name)
        Supervisor(Clock(), {"NOTIFY_SOCKET": "@" + name}, 7).stopping()
        assert heard.recv(100).startswith(b"STOPPING=1")


# --- the units in the documentation


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with a program that there is."""
    for unit in UNITS.glob("mcpserve.s*"):
        text = unit.read_text(encoding="utf-8").replace("/srv/mcpserve/.venv/bin/twist", sys.executable)
        (tmp_path / unit.name).write_text(text)
    return tmp_path


needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")


@needs_systemd
def test_the_units_are_right(units: Path) -> None:
    """systemd finds nothing wrong with them."""
    command = ["systemd-analyze", "verify", "./mcpserve.service", "./mcpserve.socket"]
    done = subprocess.run(command, cwd=units, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_the_exposure(units: Path) -> None:
    """It is what the page says."""
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", "./mcpserve.service"]
    done = subprocess.run(command, cwd=units, capture_output=True, text=True, timeout=30, check=False)
    found = re.search(r"Overall exposure level for mcpserve.service: ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    page = (UNITS.parents[1] / "how-to" / "operate.md").read_text(encoding="utf-8")
    assert float(found[1]) <= 1.5
    assert f"rates its exposure at {found[1]} " in page


def test_the_units_fit_the_configuration() -> None:
    """The names of the socket are one, systemd waits for the drain, and the watchdog for what is blocked."""
    service = (UNITS / "mcpserve.service").read_text(encoding="utf-8")
    settings = Settings(**read_file(UNITS / "mcpserve.toml"))
    name = re.search(r"^FileDescriptorName=(\w+)$", (UNITS / "mcpserve.socket").read_text(), re.MULTILINE)
    assert name is not None
    assert settings.listen == (f"systemd:domain=INET:name={name[1]}",)
    seconds = {key: float(value) for key, value in re.findall(r"^(\w+)=(\d+)$", service, re.MULTILINE)}
    assert seconds["TimeoutStopSec"] > settings.drain_delay + settings.drain + 5
    assert seconds["WatchdogSec"] > 10 * settings.blocked_after
    assert "Type=notify\n" in service
