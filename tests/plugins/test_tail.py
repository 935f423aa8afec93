"""tail: files that grow, turn and vanish, and names that try to leave the root."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve import PluginError, ToolError
from mcpserve.testing import ToolCall, ToolRunner
from plugins import tail
from plugins.tail import CHUNK, REACH, Lines, Root, start_of_last


def _open_files(root: Path) -> list[str]:
    """The files below a directory that this process has open."""
    links = [Path("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    return [str(link.readlink()) for link in links if link.is_symlink() and link.readlink().is_relative_to(root)]


@attrs.define
class Desk:
    """A configured tail, a directory of logs, and what happens to a log."""

    root: Path
    runner: ToolRunner = attrs.Factory(lambda: ToolRunner(tail.tail))

    @property
    def log(self) -> Path:
        return self.root / "app.log"

    def write(self, text: str, path: Path | None = None) -> None:
        with (path or self.log).open("a") as file:
            file.write(text)

    def call(self, path: str = "app.log", **arguments: Any) -> ToolCall:
        return self.runner.call("tail", path=path, **arguments)

    def follow(self, **arguments: Any) -> ToolCall:
        return self.call(follow=True, **{"duration": 10, **arguments})

    def wait(self, seconds: float = 0.5) -> None:
        self.runner.clock.pump([0.25] * round(seconds * 4))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A tail whose root has one log of three lines; afterwards no file of it may be open."""
    root = tmp_path / "logs"
    root.mkdir()
    (root / "app.log").write_text("one\ntwo\nthree\n")
    tail.configure({"root": str(root), "max_line": 64})
    desk = Desk(root)
    yield desk
    tail.configure({})
    assert desk.runner.leftovers() == []
    assert _open_files(root) == []


def _messages(call: ToolCall) -> list[str]:
    return [str(said.message) for said in call.progress]


# --- the last lines


@pytest.mark.parametrize(
    ("text", "lines", "expected"),
    [
        ("one\ntwo\nthree\n", 2, ["two", "three"]),
        ("one\ntwo\nthree\n", 10, ["one", "two", "three"]),
        ("one\ntwo\nthree", 2, ["two", "three"]),
        ("one\n\n\n", 2, ["", ""]),
        ("one\r\ntwo\r\n", 2, ["one", "two"]),
        ("", 2, []),
        ("\n", 2, [""]),
        ("one\n", 0, []),
        ("x" * 130 + "\n", 5, ["x" * 64, "x" * 64, "xx"]),
        ("x" * 64 + "\n", 5, ["x" * 64]),
    ],
)
def test_the_last_lines_are_returned(desk: Desk, text: str, lines: int, expected: list[str]) -> None:
    """With or without a line end at the end; long lines in pieces."""
    desk.log.write_bytes(text.encode())
    call = desk.call(lines=lines)
    assert call.structured == {"path": "app.log", "lines": expected, "followed": 0, "changes": 0}
    assert call.progress == []


def test_what_is_not_utf8_is_replaced(desk: Desk) -> None:
    """A byte that is no character becomes U+FFFD."""
    desk.log.write_bytes(b"caf\xe9\n")
    assert desk.call().structured["lines"] == ["caf\ufffd"]


@given(st.lists(st.text("ab\u00e9\u20ac", max_size=6), max_size=12), st.integers(0, 14), st.booleans())
def test_the_start_of_the_last_lines(tmp_path_factory: Any, lines: list[str], count: int, ended: bool) -> None:
    """It is where cutting the whole file into lines would find it."""
    data = "\n".join(lines).encode() + (b"\n" if ended else b"")
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_bytes(data)
    with path.open("rb") as file:
        start = start_of_last(file.fileno(), len(data), count)
    kept = data[start:].removesuffix(b"\n").split(b"\n") if data[start:] else []
    whole = data.removesuffix(b"\n").split(b"\n") if data else []
    assert kept == (whole[-count:] if count else [])


@pytest.mark.parametrize("count", [1, 2, 999, 1000])
def test_last_lines_that_take_many_chunks(desk: Desk, count: int) -> None:
    """Lines are found across the borders of what is read at once."""
    lines = [f"{number:050d}" for number in range(5 * CHUNK // 50)]
    desk.log.write_text("\n".join(lines) + "\n")
    assert desk.call(lines=count).structured["lines"] == lines[-count:]


@pytest.mark.parametrize("count", [100, 131, 132, 400, 999])
def test_the_start_of_last_lines_that_are_chunks_away(desk: Desk, count: int) -> None:
    """The lines of several chunks are counted together."""
    desk.log.write_text(("x" * 499 + "\n") * 1000)
    with desk.log.open("rb") as file:
        assert start_of_last(file.fileno(), 500_000, count) == 500_000 - 500 * count


def test_only_the_end_of_a_huge_file_is_read(desk: Desk) -> None:
    """A file without line ends is not read whole: the last MiB has to do."""
    with desk.log.open("wb") as file:
        file.truncate(50 * REACH)
    with desk.log.open("rb") as file:
        assert start_of_last(file.fileno(), 50 * REACH, 1) == 49 * REACH


# --- lines


@given(st.lists(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\xe2\x82\xac"])).map(b"".join)), st.integers(4, 9))
def test_lines_do_not_depend_on_the_pieces(pieces: list[bytes], max_line: int) -> None:
    """However the bytes arrive, the lines are the same, and none is longer than the limit."""
    arriving, whole = Lines(max_line), Lines(max_line)
    lines = [line for piece in pieces for line in arriving.feed(piece)] + arriving.flush()
    assert lines == whole.feed(b"".join(pieces)) + whole.flush()


@given(st.text("a\u00e9\u20ac\U0001f389", max_size=40), st.integers(4, 9))
def test_a_long_line_is_cut_between_characters(text: str, max_line: int) -> None:
    """The pieces of a long line are within the limit, and together they are the line."""
    pieces = Lines(max_line).feed(text.encode() + b"\n")
    assert "".join(pieces) == text
    assert all(len(piece.encode()) <= max_line for piece in pieces)


# --- what may be read


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("../secret", "without '..'"),
        ("sub/../../secret", "without '..'"),
        ("sub/../app.log", "without '..'"),
        ("/etc/passwd", "relative to the root"),
        ("", "relative to the root"),
        (".", "relative to the root"),
        ("link", "out of the root"),
        ("folder/secret", "out of the root"),
        ("dangling", "out of the root"),
        ("sub", "Only regular files"),
        ("fifo", "Only regular files"),
        ("socket", "Can't read"),
    ],
)
def test_a_path_does_not_leave_the_root(desk: Desk, path: str, says: str) -> None:
    """Neither dots nor links lead out; a directory, a FIFO or a socket is not read, and nothing blocks."""
    outside = desk.root.parent / "secret"
    outside.write_text("sesame\n")
    (desk.root / "sub").mkdir()
    (desk.root / "link").symlink_to(outside)
    (desk.root / "folder").symlink_to(desk.root.parent)
    (desk.root / "dangling").symlink_to(desk.root.parent / "nothing")
    os.mkfifo(desk.root / "fifo")
    os.mknod(desk.root / "socket", 0o140600)
    call = desk.call(path, follow=True)
    assert call.result.is_error
    assert says in call.text
    assert str(desk.root) not in call.text
    assert "sesame" not in call.text


def test_a_neighbour_with_the_same_beginning_is_outside(desk: Desk) -> None:
    """The root /logs does not open /logs2."""
    neighbour = Path(f"{desk.root}2")
    neighbour.mkdir()
    (neighbour / "app.log").write_text("sesame\n")
    (desk.root / "near").symlink_to(neighbour / "app.log")
    assert desk.call("near").result.is_error


def test_links_within_the_root_are_followed(desk: Desk) -> None:
    """A link to the log of today is what people have."""
    (desk.root / "old").mkdir()
    (desk.root / "old" / "today.log").write_text("today\n")
    (desk.root / "current").symlink_to("old")
    (desk.root / "current.log").symlink_to("current/today.log")
    assert desk.call("current.log").structured["lines"] == ["today"]


@pytest.mark.parametrize("parts", [["link"], ["folder", "secret"]])
def test_a_link_that_appears_after_the_check_is_refused(desk: Desk, parts: list[str]) -> None:
    """Whoever swaps a name for a link between the check and the opening gains nothing."""
    (desk.root.parent / "secret").write_text("sesame\n")
    (desk.root / "link").symlink_to(desk.root.parent / "secret")
    (desk.root / "folder").symlink_to(desk.root.parent)
    with pytest.raises(OSError) as caught:
        Root(path=str(desk.root), max_line=64)._walk(parts)
    assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)


@pytest.mark.parametrize(
    ("path", "says"), [("no.log", "No such file"), ("a\0b", "not a file name"), ("x" * 300, "too long")]
)
def test_a_path_that_is_no_file_is_refused_in_words(desk: Desk, path: str, says: str) -> None:
    """The model learns what is wrong, and nothing about the host."""
    call = desk.call(path)
    assert call.result.is_error
    assert says in call.text
    assert str(desk.root) not in call.text


def test_a_root_that_is_gone_is_not_named(desk: Desk) -> None:
    """The model does not learn where the root was."""
    desk.root.rename(desk.root.parent / "elsewhere")
    call = desk.call()
    assert call.result.is_error
    assert "logs" not in call.text


# --- following


def test_new_lines_come_as_they_are_written(desk: Desk) -> None:
    """First the last lines, then each batch as one message; the value counts the new lines."""
    call = desk.follow(lines=2)
    assert _messages(call) == ["two\nthree"]
    desk.wait()
    assert len(call.progress) == 1
    desk.write("four\nfive\n")
    desk.wait()
    desk.write("six\n")
    desk.wait()
    assert _messages(call)[1:] == ["four\nfive", "six"]
    assert [said.value for said in call.progress] == [0, 2, 3]
    desk.wait(9)
    assert call.structured == {"path": "app.log", "lines": ["five", "six"], "followed": 3, "changes": 0}


def test_an_unfinished_line_waits_for_its_end(desk: Desk) -> None:
    """Half a line is held back until it is whole."""
    call = desk.follow()
    desk.write("fo")
    desk.wait()
    assert len(call.progress) == 1
    desk.write("ur\n")
    desk.wait()
    assert _messages(call)[1:] == ["four"]
    desk.wait(10)


def test_an_unfinished_line_comes_at_the_end(desk: Desk) -> None:
    """When the time is up there is no more to wait for."""
    call = desk.follow(duration=2)
    desk.write("four")
    desk.wait(2)
    assert _messages(call)[1:] == ["four"]
    assert call.structured["followed"] == 1


def test_rotation_loses_no_line(desk: Desk) -> None:
    """What was written to the old file before and after the rename comes before the lines of the new one."""
    call = desk.follow(lines=0)
    desk.write("four\n")
    old = desk.log.rename(desk.root / "app.log.1")
    desk.write("five\nhalf", old)
    desk.write("new one\n")
    desk.wait(2)
    assert "\n".join(_messages(call)[1:]).split("\n") == [
        "four",
        "five",
        "half",
        "[app.log was replaced; reading the new one]",
        "new one",
    ]
    desk.wait(8)
    assert call.structured["changes"] == 1


def test_a_line_written_to_the_old_file_at_the_last_moment_is_read(desk: Desk) -> None:
    """Between the last look at the old file and the new one its writer may have gone on."""
    follower = tail.open_follower(tail.root, "app.log")
    follower.last(0)
    old = desk.log.rename(desk.root / "app.log.1")
    here = os.stat(old)
    desk.write("late\n", old)
    desk.write("new\n")
    assert follower._compare(here, tail.root.open("app.log")) == ["late"]
    assert follower.poll() == ["[app.log was replaced; reading the new one]"]
    assert follower.poll() == ["new"]
    follower.close()


def test_truncation_is_reported_and_read_from_the_start(desk: Desk) -> None:
    """A log that is emptied and written anew is read anew."""
    call = desk.follow()
    desk.log.write_text("anew\n")
    desk.wait(2)
    assert _messages(call)[1:] == ["[app.log was truncated; reading from its start]", "anew"]
    desk.wait(8)
    assert call.structured["lines"] == [
        "one",
        "two",
        "three",
        "[app.log was truncated; reading from its start]",
        "anew",
    ]


def test_a_file_that_vanishes_is_waited_for(desk: Desk) -> None:
    """It is reported once; when there is a new one, that is read."""
    call = desk.follow()
    desk.log.unlink()
    desk.wait(3)
    desk.write("back\n")
    desk.wait(2)
    assert _messages(call)[1:] == [
        "[app.log is gone; waiting for it to return]",
        "[app.log was replaced; reading the new one]",
        "back",
    ]
    desk.wait(5)


def test_a_file_that_was_only_away_goes_on(desk: Desk) -> None:
    """The same file under its name again is read on from where it was."""
    call = desk.follow()
    away = desk.log.rename(desk.root / "away")
    desk.wait(1)
    away.rename(desk.log)
    desk.write("four\n")
    desk.wait(2)
    assert _messages(call)[1:] == ["[app.log is gone; waiting for it to return]", "four", "[app.log is back]"]
    desk.wait(8)


def test_a_link_to_the_outside_is_not_followed_later(desk: Desk) -> None:
    """A log that is replaced by a link out of the root counts as gone."""
    (desk.root.parent / "secret").write_text("sesame\n")
    call = desk.follow()
    desk.log.unlink()
    desk.log.symlink_to(desk.root.parent / "secret")
    desk.wait(10)
    assert _messages(call)[1:] == ["[app.log is gone; waiting for it to return]"]


def test_much_at_once_comes_in_chunks(desk: Desk) -> None:
    """All lines come, and no message is longer than a chunk and what was held back before."""
    call = desk.follow(lines=0)
    lines = [f"{number:060d}" for number in range(3 * CHUNK // 60)]
    desk.write("\n".join(lines) + "\n")
    desk.wait(0.75)
    assert "\n".join(_messages(call)[1:]).split("\n") == lines
    assert all(len(message) <= CHUNK + 64 for message in _messages(call))
    desk.wait(10)


def test_a_stalled_reader_stops_the_reading(desk: Desk) -> None:
    """While the reader is behind nothing is read; then nothing is missing."""
    call = desk.follow(lines=0)
    call.stall()
    desk.write("four\n")
    desk.wait(1)
    desk.write("five\n")
    desk.wait(20)
    assert not call.done
    call.resume()
    desk.wait(1)
    assert "four" in _messages(call)
    assert call.done


def test_a_dropped_client_closes_the_file(desk: Desk) -> None:
    """In the same turn; the fixture sees that no timer is left either."""
    call = desk.follow()
    desk.wait(1)
    assert _open_files(desk.root) == [str(desk.log)]
    call.drop()
    assert call.cancelled
    assert _open_files(desk.root) == []


# --- settings


def test_without_a_root_there_is_no_tool() -> None:
    """The tool is only served when an operator has said what it may read."""
    tail.configure({})
    assert tail.tools() == []
    assert ToolRunner(tail.tail).call("tail", path="app.log").result.is_error


def test_with_a_root_there_is_one(desk: Desk) -> None:
    """`configure` is what switches it on."""
    assert tail.tools() == [tail.tail]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"rot": "/"}, "rot"),
        ({"root": "logs"}, "absolute"),
        ({"root": 3}, "absolute"),
        ({"root": "/no/such/directory"}, "directory"),
        ({"root": "/", "max_line": 3}, "max_line"),
        ({"root": "/", "max_line": True}, "max_line"),
        ({"root": "/", "max_line": "64"}, "max_line"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], complaint: str) -> None:
    """A wrong key or value is refused, and the message names it."""
    with pytest.raises(PluginError, match=complaint):
        tail.configure(settings)


def test_a_root_is_needed_to_open() -> None:
    """Even whoever gets hold of the function can't read without a root."""
    with pytest.raises(ToolError, match="No root"):
        tail.open_follower(None, "app.log")
