"""The SQLite file: opened with care, written in batches, refused with a sentence."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcpserve.errors import StoreError
from mcpserve.stores.sqlite import APPLICATION, SqliteFile, Statement

FIRST = """\
CREATE TABLE things (key INTEGER PRIMARY KEY, name TEXT);

CREATE TABLE gone (name TEXT);

CREATE TRIGGER removed AFTER DELETE ON things BEGIN
    INSERT INTO gone VALUES (OLD.name);
END"""
SECOND = "ALTER TABLE things ADD COLUMN size INTEGER NOT NULL DEFAULT 7"
ADD = Statement(1, "INSERT INTO things (key, name) VALUES (?, ?)")
ADD_MANY = Statement(2, "INSERT INTO things (key, name) VALUES ", "(?, ?)")
REMOVE = Statement(3, "DELETE FROM things WHERE key IN (", "?", ")")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "store.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[..., SqliteFile]]:
    """Opens files, and closes them at the end."""
    files: list[SqliteFile] = []

    def open_file(*migrations: str, at: Path = path) -> SqliteFile:
        file = SqliteFile(at, migrations or [FIRST], patience=0.0)
        files.append(file)
        file.open()
        return file

    yield open_file
    for file in files:
        file.close()


Opened = Callable[..., SqliteFile]


def names(file: SqliteFile) -> list[str]:
    """What things are in it."""
    return [row[0] for row in file.read("SELECT name FROM things ORDER BY key")]


def refused(opened: Opened, *migrations: str, at: Path) -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(StoreError) as caught:
        opened(*migrations, at=at)
    assert str(at) in str(caught.value)
    return str(caught.value)


# --- what is written


def test_what_was_written_is_there(opened: Opened) -> None:
    """In another process too."""
    file = opened()
    file.write({ADD: [(1, "a"), (2, "b")]})
    file.close()
    assert names(opened()) == ["a", "b"]


def test_what_was_written_survives_a_kill(opened: Opened, path: Path, tmp_path: Path) -> None:
    """The file and the log beside it hold it all, closed or not."""
    opened().write({ADD: [(1, "a")]})
    copy = tmp_path / "copy.db"
    for suffix in ("", "-wal"):
        copy.with_name(copy.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    assert names(opened(at=copy)) == ["a"]


def test_the_order_of_ranks(opened: Opened) -> None:
    """What adds comes before what removes, however they were given."""
    file = opened()
    file.write({REMOVE: [(1,), (3,)], ADD_MANY: [(3, "c")], ADD: [(1, "a"), (2, "b")]})
    assert names(file) == ["b"]
    assert [row[0] for row in file.read("SELECT name FROM gone ORDER BY name")] == ["a", "c"]


@pytest.mark.parametrize("number", [0, 1, 2, 63, 64, 65, 127, 200, 1000])
def test_many_rows(opened: Opened, number: int) -> None:
    """As many as there are, in few statements."""
    file = opened()
    file.write({ADD_MANY: [(key, str(key)) for key in range(number)]})
    assert names(file) == [str(key) for key in range(number)]
    file.write({REMOVE: [(key,) for key in range(1, number)]})
    assert names(file) == ["0"][:number]


def test_all_or_nothing(opened: Opened) -> None:
    """A batch that fails leaves nothing, and the file can be written on."""
    file = opened()
    file.write({ADD: [(1, "a")]})
    with pytest.raises(StoreError, match="can't be used: UNIQUE constraint failed"):
        file.write({ADD: [(2, "b"), (1, "again")]})
    assert names(file) == ["a"]
    file.write({ADD: [(2, "b")]})
    assert names(file) == ["a", "b"]


def test_a_full_disk(opened: Opened) -> None:
    """It is said, and when there is room again it goes on."""
    file = opened()
    file.write({ADD: [(1, "a")]})
    pages = next(file.read("PRAGMA page_count"))[0]
    list(file.read(f"PRAGMA max_page_count = {pages + 2}"))
    with pytest.raises(StoreError, match="can't be used: database or disk is full"):
        file.write({ADD: [(2, "b" * 100_000)]})
    list(file.read("PRAGMA max_page_count = 1000000"))
    file.write({ADD: [(2, "b" * 100_000)]})
    assert len(names(file)) == 2


def test_space_is_given_back(opened: Opened, path: Path) -> None:
    """What is not needed any more, some at a time, once it is more than half of the file."""
    file = opened("CREATE TABLE things (key INTEGER PRIMARY KEY, name TEXT)")
    file.write({ADD: [(key, "." * 100_000) for key in range(100)]})
    file.tidy()
    file.write({REMOVE: [(key,) for key in range(95)]})
    file.tidy()
    before = next(file.read("PRAGMA page_count"))[0]
    assert 1000 < before < 2000, "some at a time"
    for _ in range(5):
        file.tidy()
    assert next(file.read("PRAGMA page_count"))[0] < before / 2
    file.close()
    assert path.stat().st_size < 2_500_000


def test_a_closed_file(opened: Opened) -> None:
    """It can be closed twice, and not be written."""
    file = opened()
    file.close()
    file.close()
    with pytest.raises(StoreError):
        file.write({ADD: [(1, "a")]})
    with pytest.raises(StoreError):
        list(file.read("SELECT 1"))


def test_what_can_not_be_read(opened: Opened) -> None:
    """A sentence, as everywhere."""
    with pytest.raises(StoreError, match="no such table"):
        list(opened().read("SELECT * FROM nowhere"))


# --- the file


def test_mode(opened: Opened, path: Path) -> None:
    """It is nobody else's business, and neither is the log beside it; whatever the mask, whatever it was."""
    path.touch(0o666)
    path.chmod(0o666)
    opened().write({ADD: [(1, "a")]})
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["store.db", "store.db-wal"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_how_it_is_kept(opened: Opened, path: Path) -> None:
    """With a log that is written ahead, a name of ours, and the version of the schema."""
    file = opened(FIRST, SECOND)
    for name, value in {"journal_mode": "wal", "user_version": 2, "application_id": APPLICATION}.items():
        assert next(file.read(f"PRAGMA {name}"))[0] == value
    file.close()
    assert os.listdir(path.parent) == ["store.db"]


def test_an_older_schema(opened: Opened) -> None:
    """It is brought up to date, and what was in it stays."""
    file = opened(FIRST)
    file.write({ADD: [(1, "a")]})
    file.close()
    file = opened(FIRST, SECOND)
    assert list(file.read("SELECT * FROM things")) == [(1, "a", 7)]


def test_a_schema_that_can_not_be_brought_up_to_date(opened: Opened, path: Path) -> None:
    """All or nothing here, too."""
    opened(FIRST).close()
    assert "can't be used" in refused(opened, FIRST, SECOND + ";\n\nNONSENSE", at=path)
    assert "size" not in str(list(opened(FIRST).read("SELECT sql FROM sqlite_schema")))


def test_a_newer_schema(opened: Opened, path: Path) -> None:
    """It is left alone."""
    opened(FIRST, SECOND).close()
    assert "was written by a newer mcpserve (schema 2, this one knows 1)" in refused(opened, FIRST, at=path)


def test_something_else(opened: Opened, path: Path) -> None:
    """A database of somebody else is not touched."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (name TEXT)")
    connection.commit()
    connection.close()
    assert "is a database of something else" in refused(opened, at=path)
    connection = sqlite3.connect(path)
    assert [row[0] for row in connection.execute("SELECT name FROM sqlite_schema")] == ["theirs"]
    connection.close()


@pytest.mark.parametrize("content", [b"no database at all, " * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_no_database(opened: Opened, path: Path, content: bytes) -> None:
    """One sentence that says so, and what to do."""
    path.write_bytes(content)
    sentence = refused(opened, at=path)
    assert "is damaged, or no SQLite database" in sentence
    assert "move it away" in sentence
    assert path.read_bytes() == content


def test_a_damaged_database(opened: Opened, path: Path) -> None:
    """It shows when it is read."""
    file = opened()
    file.write({ADD: [(key, "." * 1000) for key in range(100)]})
    file.close()
    data = bytearray(path.read_bytes())
    data[8192:40960] = os.urandom(32768)
    path.write_bytes(bytes(data))
    with pytest.raises(StoreError, match="damaged"):
        names(opened())


def test_in_use(opened: Opened, path: Path) -> None:
    """A store is for one server; it is free again when that has ended, in whatever way."""
    first = opened()
    assert "is in use by another process; a store is for one server" in refused(opened, at=path)
    first.close()
    opened()


@pytest.mark.parametrize(
    ("name", "words"),
    [("none/store.db", "No such file or directory"), (".", "Is a directory"), ("x" * 300, "too long")],
)
def test_no_place_for_a_file(opened: Opened, tmp_path: Path, name: str, words: str) -> None:
    """The reason of the operating system."""
    assert words in refused(opened, at=tmp_path / name)
