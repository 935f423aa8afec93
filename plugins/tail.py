"""tail: the last lines of a file, and those that come. Off until the configuration names the directory it may read:

    [plugin.tail]
    root = "/var/log/myapp"    # nothing outside of this directory is ever read
    max_line = 4096            # bytes; a longer line is sent in pieces

It looks at the file twice a second, on the clock of the call: no thread, no inotify. The reads block, but each is of at
most 64 KiB, which the page cache of a local file system answers in microseconds.
"""

import os
import stat
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Annotated, Any

import attrs

from mcpserve import Arg, Call, PluginError, ToolError, tool

POLL = 0.5  # seconds
CHUNK = 64 * 1024  # bytes that are read, and sent in one message, at most
REACH = 1024 * 1024  # bytes from the end of the file in which the last lines are looked for

NO_LINK = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW


@attrs.frozen(kw_only=True)
class Root:
    """The directory that may be read, with symbolic links resolved, and the longest line in bytes."""

    path: str
    max_line: int

    def open(self, name: str) -> int:
        """Open a regular file below the root, wherever the links in its name lead within it.

        Returns:
            A file descriptor that never blocks.

        Raises:
            OSError: The file is not there, or not readable.
            ToolError: The name leads out of the root, or to something that is not a regular file.
        """
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts:
            raise ToolError("The path must be relative to the root, without '..'.")
        target = os.path.realpath(os.path.join(self.path, name))
        if os.path.commonpath([self.path, target]) != self.path:
            raise ToolError("The path leads out of the root.")
        return self._walk(os.path.relpath(target, self.path).split("/"))

    def _walk(self, parts: Sequence[str]) -> int:
        # The resolved name has no links in it. Whoever puts one there between the check above and this walk is refused
        # by O_NOFOLLOW, at each step. O_NONBLOCK: opening a FIFO would wait for its writer, and the reactor with it.
        folder = os.open(self.path, NO_LINK | os.O_DIRECTORY)
        try:
            for part in parts[:-1]:
                inner = os.open(part, NO_LINK | os.O_DIRECTORY, dir_fd=folder)
                os.close(folder)
                folder = inner
            file = os.open(parts[-1], NO_LINK | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise ToolError("Only regular files can be read.")
        return file


class Lines:
    """Cuts bytes into lines of text: holds the last, unfinished one back, and splits those that are too long.

    Args:
        max_line: The longest piece in bytes, at least 4 (the longest character of UTF-8).
    """

    def __init__(self, max_line: int) -> None:
        self._max_line = max_line
        self._rest = b""
        self._begun = False  # whether pieces of the unfinished line were already returned

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that `data` completes, without their line ends; what is not UTF-8 is replaced by U+FFFD."""
        *whole, rest = (self._rest + data).split(b"\n")
        lines = [piece for line in whole for piece in self._end(line)]
        *early, self._rest = self._cut(rest)
        self._begun = self._begun or bool(early)
        return lines + [piece.decode(errors="replace") for piece in early]

    def flush(self) -> list[str]:
        """Return the unfinished line, if there is one: nothing will follow."""
        rest, self._rest = self._rest, b""
        return self._end(rest) if rest else []

    def _end(self, line: bytes) -> list[str]:
        *pieces, last = self._cut(line)
        last = last.removesuffix(b"\r")
        if last or not (pieces or self._begun):
            pieces.append(last)
        self._begun = False
        return [piece.decode(errors="replace") for piece in pieces]

    def _cut(self, line: bytes) -> list[bytes]:
        pieces = []
        while len(line) > self._max_line:
            cut = self._max_line
            while cut > self._max_line - 3 and line[cut] & 0xC0 == 0x80:  # don't cut in the middle of a character
                cut -= 1
            pieces.append(line[:cut])
            line = line[cut:]
        return [*pieces, line]


class Follower:
    """One open file, how far it was read, and what became of its name since.

    Args:
        root: Where files may be read.
        name: The path below it.
    """

    def __init__(self, root: Root, name: str) -> None:
        self.changes = 0
        self._root = root
        self._name = name
        self._lines = Lines(root.max_line)
        self._file = root.open(name)
        self._position = 0
        self._missing = False

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def last(self, count: int) -> list[str]:
        """Read to the end of the file, and return its last lines.

        Args:
            count: How many, at most; only those within the last MiB are found.
        """
        size = os.fstat(self._file).st_size
        self._position = start_of_last(self._file, size, count)
        found: deque[str] = deque(maxlen=count)
        while self._position < size and (lines := self._read()) is not None:
            found.extend(lines)
        return list(found)

    def poll(self) -> list[str]:
        """Read what is new, one chunk at most, and return its lines, or a line that says what happened to the file."""
        lines = self._read()
        return self._look() if lines is None else lines

    def flush(self) -> list[str]:
        """Return the unfinished last line, if there is one."""
        return self._lines.flush()

    def _read(self) -> list[str] | None:
        """Read the next chunk; None at the end of the file."""
        data = os.pread(self._file, CHUNK, self._position)
        self._position += len(data)
        return self._lines.feed(data) if data else None

    def _look(self) -> list[str]:
        """See whether the name still leads to the file whose end was reached."""
        here = os.fstat(self._file)
        if here.st_size < self._position:
            self._position = 0
            return self._changed("was truncated; reading from its start")
        try:
            there = self._root.open(self._name)
        except (OSError, ToolError):
            # Between two steps of a rotation there is no file. The old one may still be written to: it stays open.
            if self._missing:
                return []
            self._missing = True
            return self._changed("is gone; waiting for it to return")
        return self._compare(here, there)

    def _compare(self, here: os.stat_result, there: int) -> list[str]:
        """Change over to `there` if it is another file, and the one that is open has been read to its end."""
        if os.path.samestat(here, os.fstat(there)):
            os.close(there)
            returned, self._missing = self._missing, False
            return self._changed("is back") if returned else []
        # Its writer may have added a last line between our last read and the rename.
        if (lines := self._read()) is not None:
            os.close(there)
            return lines
        os.close(self._file)
        self._file, self._position, self._missing = there, 0, False
        return self._changed("was replaced; reading the new one")

    def _changed(self, what: str) -> list[str]:
        self.changes += 1
        # What was held back of the old content can't be completed by the new.
        return [*self._lines.flush(), f"[{self._name} {what}]"]


def start_of_last(file: int, size: int, count: int) -> int:
    """Find where the last `count` lines of a file start, looking backwards in chunks, one MiB at most.

    Args:
        file: The file descriptor.
        size: The size of the file in bytes.
        count: How many lines.

    Returns:
        The position in bytes.
    """
    if count == 0:
        return size
    position = end = max(0, size - 1)  # the end of the last line is not the start of another
    limit = max(0, size - REACH)
    while position > limit:
        position = max(limit, end - CHUNK)
        block = os.pread(file, end - position, position)
        if block.count(b"\n") >= count:
            return position + nth_last(block, count) + 1
        count -= block.count(b"\n")
        end = position
    return position


def nth_last(block: bytes, count: int) -> int:
    """Return the index of the `count`-th line end from the right; there are that many."""
    index = len(block)
    for _ in range(count):
        index = block.rindex(b"\n", 0, index)
    return index


@attrs.frozen(kw_only=True)
class Tail:
    """What `tail` returns."""

    path: str
    lines: Annotated[list[str], "The last lines, oldest first; what happened to the file itself is in [brackets]."]
    followed: Annotated[int, "How many lines came while the file was followed."]
    changes: Annotated[int, "How often the file was replaced or truncated, went or came back, in that time."]


async def send_new(call: Call, follower: Follower, duration: float, kept: deque[str]) -> int:
    """Send the lines that come as progress messages, until `duration` has passed.

    Args:
        call: Whose progress it is; the value is the number of lines so far.
        follower: The file.
        duration: In seconds.
        kept: Gets the lines as well.

    Returns:
        How many lines were sent.
    """
    sent = 0
    end = call.clock.seconds() + duration
    while True:
        left = end - call.clock.seconds()
        lines = follower.poll() if left > 0 else follower.flush()
        if lines:
            sent += len(lines)
            kept.extend(lines)
            # Awaited: while the reader is behind, nothing more is read from the file.
            await call.progress(sent, message="\n".join(lines))
        if left <= 0:
            return sent
        # Even when there is more to read the others get their turn: progress() does not wait for a quick reader.
        await call.sleep(0 if lines else min(POLL, left))


def open_follower(below: Root | None, path: str) -> Follower:
    """Open the file that a model asked for, or say what is wrong with it, without a word about the root.

    Raises:
        ToolError: There is no such file, or it must not be read.
    """
    if below is None:
        raise ToolError("No root is configured for this tool.")
    try:
        return Follower(below, path)
    except OSError as error:
        raise ToolError(f"Can't read {path!r}: {error.strerror}.") from None
    except ValueError:  # a NUL, or half a surrogate pair
        raise ToolError("The path is not a file name.") from None


@tool(title="Tail a file", read_only=True, idempotent=True, open_world=False)
async def tail(
    call: Call,
    path: Annotated[str, Arg("The file, relative to the root that the server's operator chose.", max_length=1024)],
    lines: Annotated[int, Arg("How many of the last lines to return.", minimum=0, maximum=1000)] = 10,
    follow: Annotated[bool, "Whether to go on with the lines that come."] = False,
    duration: Annotated[float, Arg("For how many seconds to follow the file.", minimum=0, maximum=86_400)] = 60.0,
) -> Tail:
    """Return the last lines of a text file; with follow, also send new lines as progress notifications as they come.

    Rotation and truncation are noticed and reported in the stream. The result repeats the last lines.
    """
    follower = open_follower(root, path)
    try:
        kept = deque(follower.last(lines), maxlen=lines)
        followed = 0
        if follow:
            await call.progress(0, message="\n".join(kept) or f"[following {path}]")
            followed = await send_new(call, follower, duration, kept)
        else:
            kept.extend(follower.flush())
        return Tail(path=path, lines=list(kept), followed=followed, changes=follower.changes)
    finally:
        # Also when the client has gone: then the await above raised CancelledError.
        follower.close()


root: Root | None = None  # what configure() found


def configure(settings: Mapping[str, Any]) -> None:
    """Take `[plugin.tail]` of the configuration file; the server calls it before it asks for the tools.

    Raises:
        PluginError: A key is not known, or its value is not right.
    """
    global root
    if unknown := sorted(set(settings) - {"root", "max_line"}):
        raise PluginError(f"there is no setting {unknown[0]!r}, only root and max_line")
    root = read_root(settings["root"], settings.get("max_line", 4096)) if "root" in settings else None


def read_root(path: Any, max_line: Any) -> Root:
    """Check the settings.

    Raises:
        PluginError: A value is not right.
    """
    if not isinstance(path, str) or not os.path.isabs(path) or not os.path.isdir(path):
        raise PluginError(f"root must be the absolute path of a directory, not {path!r}")
    if type(max_line) is not int or not 64 <= max_line <= CHUNK:
        raise PluginError(f"max_line must be a number of bytes from 64 to {CHUNK}, not {max_line!r}")
    return Root(path=os.path.realpath(path), max_line=max_line)


def tools() -> Sequence[Callable[..., Any]]:
    """Serve nothing until there is a root."""
    return [tail] if root is not None else []
