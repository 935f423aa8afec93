"""The file of keys: written as a whole, read as it is meant or not at all."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from mcpserve.errors import ConfigurationError
from mcpserve.policy.keys import ApiKey, make_key
from mcpserve.service.keyfile import changing, read_keys, read_used, spelled, write_used

NOW = 1_800_000_000.0


def key(name: str = "alice", **more: Any) -> ApiKey:
    """A key."""
    return make_key(name, now=NOW, **more)[0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is to be."""
    return tmp_path / "keys.json"


def put(path: Path, *keys: ApiKey) -> None:
    """Add keys to the file."""
    with changing(path) as kept:
        kept.extend(keys)


def mode(path: Path) -> int:
    """Its permissions."""
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_written_is_read(path: Path) -> None:
    """All of it; and there is no key in the file, but its hash."""
    made, shown = make_key("bob", now=NOW, groups=["ops", "Grüße"], scopes=["read"], expires=NOW + 60)
    put(path, key(), made)
    assert read_keys(path)[1] == made
    assert shown not in path.read_text()
    assert shown[16:] not in path.read_text()


def test_it_is_for_its_owner(path: Path) -> None:
    """And nothing else is left in the directory."""
    before = os.umask(0)
    try:
        put(path, key())
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["keys.json"]


@pytest.mark.parametrize(("before", "after"), [(0o640, 0o640), (0o600, 0o600), (0o644, 0o640), (0o400, 0o600)])
def test_permissions_that_are_kept(path: Path, before: int, after: int) -> None:
    """The group of a server may read; others lose what they had."""
    put(path, key())
    path.chmod(before)
    put(path, key("bob"))
    assert mode(path) == after


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_is_kept(path: Path) -> None:
    """Root changes the file of a server, which has to read it."""
    put(path, key())
    os.chown(path, 1234, 1235)
    put(path, key("bob"))
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235)


def test_a_link_stays_one(path: Path, tmp_path: Path) -> None:
    """What it leads to is changed."""
    link = tmp_path / "link.json"
    link.symlink_to(path)
    put(link, key())
    assert link.is_symlink()
    assert len(read_keys(path)) == 1


@pytest.mark.parametrize("bits", [0o620, 0o602, 0o666])
def test_others_may_write_it(path: Path, bits: int) -> None:
    """Then anybody could let himself in: it is not believed."""
    put(path, key())
    path.chmod(bits)
    with pytest.raises(ConfigurationError, match="others than its owner may write it"):
        read_keys(path)


def test_a_pipe_is_none(path: Path) -> None:
    """Nobody waits for somebody who writes into it."""
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigurationError, match="is no regular file"):
        read_keys(path)


def test_there_is_no_file(path: Path) -> None:
    """That is no empty one."""
    with pytest.raises(ConfigurationError, match="No such file or directory; mcpserve keys add makes one"):
        read_keys(path)


def test_a_change_that_fails(path: Path) -> None:
    """The file is as before."""
    put(path, key())
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), changing(path) as kept:
        kept.append(1 / 0)
    assert path.read_bytes() == before


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """A sentence."""
    with pytest.raises(ConfigurationError, match="can't be opened: No such file"):
        put(tmp_path / "no" / "keys.json", key())


def test_changes_at_the_same_time(path: Path) -> None:
    """None is lost."""
    threads = [threading.Thread(target=put, args=(path, key(f"k{number}"))) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {kept.name for kept in read_keys(path)} == {f"k{number}" for number in range(20)}


ROW: dict[str, Any] = {
    "id": "k3v9x0q2ma",
    "name": "alice",
    "sha256": "00" * 32,
    "groups": [],
    "scopes": [],
    "created": "2026-08-01T12:00:00Z",
    "expires": None,
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": 5}, "id must be a text"),
        ({"id": "k3v9x0q2m"}, "is no id of a key"),
        ({"id": "k3v9x0q2ma\n"}, "is no id of a key"),
        ({"id": "k3v9x0q2m\u0e51"}, "is no id of a key"),
        ({"name": ""}, "is no name of a key"),
        ({"name": "a b"}, "is no name of a key"),
        ({"name": "alice\n"}, "is no name of a key"),
        ({"sha256": "00" * 31}, "sha256 must be 64"),
        ({"sha256": "zz" * 32}, "sha256 must be 64"),
        ({"sha256": None}, "sha256 must be a text"),
        ({"groups": "ops"}, "groups must be a list of texts"),
        ({"groups": [1]}, "groups must be a list of texts"),
        ({"scopes": ["a b"]}, "a scope has no spaces"),
        ({"created": "yesterday"}, "'yesterday' must be a time"),
        ({"expires": 0}, "0 must be a time"),
        ({"expires": ""}, "'' must be a time"),
        ({"expires": False}, "False must be a time"),
        ({"not_before": "2027-01-01T00:00:00Z"}, "must have exactly"),
        ({"expires": ...}, "must have exactly"),
    ],
)
def test_a_row_that_is_not_understood(path: Path, change: dict[str, Any], words: str) -> None:
    """Nothing of the file is used: it may mean less than we would read into it."""
    row = {name: value for name, value in {**ROW, **change}.items() if value is not ...}
    path.write_text(json.dumps({"format": "mcpserve keys 1", "keys": [ROW | {"id": "b" * 10}, row]}))
    with pytest.raises(ConfigurationError, match=f"key 2: .*{words}"):
        read_keys(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"keys": []}',
        '{"format": "mcpserve keys 2", "keys": []}',
        '{"format": "mcpserve keys 1"}',
        '{"format": "mcpserve keys 1", "keys": {}}',
        '{"format": "mcpserve keys 1", "keys": [], "deny": ["alice"]}',
        '{"format": "mcpserve keys 1", "keys": [5]}',
        "[" * 100_000,
        "\x00",
    ],
)
def test_a_file_of_another_kind(path: Path, text: str) -> None:
    """The sentence names it."""
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=str(path)):
        read_keys(path)


def test_two_rows_of_one_id(path: Path) -> None:
    """One of them would be in the shadow of the other."""
    path.write_text(json.dumps({"format": "mcpserve keys 1", "keys": [ROW, ROW]}))
    with pytest.raises(ConfigurationError, match="two keys have the same id"):
        read_keys(path)


# --- the last use


def test_the_last_use(path: Path) -> None:
    """It is written beside the file; what is older stays, and keys that are gone are forgotten."""
    write_used(path, {"a": NOW, "b": NOW}, ["a", "b"])
    write_used(path, {"b": NOW + 60}, ["a", "b"])
    assert read_used(path) == {"a": spelled(NOW), "b": spelled(NOW + 60)}
    write_used(path, {}, ["b"])
    assert read_used(path) == {"b": spelled(NOW + 60)}
    assert mode(path.with_name("keys.json.used")) == 0o600


@pytest.mark.parametrize("text", ["", "[]", "5", "\xff"])
def test_nothing_depends_on_it(path: Path, text: str) -> None:
    """A broken one is as good as none."""
    path.with_name("keys.json.used").write_text(text, encoding="latin-1")
    assert read_used(path) == {}


def test_it_can_not_be_written(tmp_path: Path) -> None:
    """A sentence, for the log."""
    with pytest.raises(ConfigurationError, match="can't be written"):
        write_used(tmp_path / "no" / "keys.json", {"a": NOW}, ["a"])
