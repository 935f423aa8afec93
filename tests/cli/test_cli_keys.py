"""`mcpserve keys`: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

import re
import stat
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from mcpserve.cli.keys import keys, read_expiry
from mcpserve.cli.program import program
from mcpserve.policy.keys import KeyRing
from mcpserve.service.keyfile import read_keys, write_used

DAY = 86_400


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is to be."""
    return tmp_path / "keys.json"


def run(*words: str, env: dict[str, str] | None = None) -> Result:
    """Carry a command out."""
    return CliRunner(env={"MCPSERVE_KEYS": None, **(env or {})}).invoke(keys, words)


def add(path: Path, *words: str) -> str:
    """Make a key; what was printed to standard output."""
    done = run("add", *words, "--file", str(path))
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def test_it_is_one_of_the_commands() -> None:
    """`mcpserve keys` is listed, and leads here."""
    done = CliRunner().invoke(program, ["keys", "--help"])
    assert done.exit_code == 0
    assert {"add", "list", "revoke"} <= set(re.findall(r"^  (\w+)", done.output, re.MULTILINE))


def test_a_key_that_was_made_lets_in(path: Path) -> None:
    """It alone stands on standard output, so that it can be piped; the file has no trace of it."""
    shown = add(path, "ada", "-g", "ops", "-g", "dev team", "-s", "tools:read", "--expires", "90d")
    caller = KeyRing(read_keys(path)).find(shown.encode("ascii"), time.time())
    assert caller.name == "key:ada"
    assert caller.groups == {"ops", "dev team"}
    assert caller.scopes == {"tools:read"}
    kept = read_keys(path)[0]
    assert kept.expires is not None
    assert abs(kept.expires - time.time() - 90 * DAY) < 60
    assert shown[16:] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_name_that_is_taken(path: Path) -> None:
    """Two parties do not become one by mistake; one party may have two keys."""
    add(path, "ada")
    done = run("add", "ada", "--file", str(path))
    assert done.exit_code == 2
    assert "ada has a key already; --again makes one more for the same caller" in done.output
    add(path, "ada", "--again")
    assert [kept.name for kept in read_keys(path)] == ["ada", "ada"]


def test_one_more_key_has_the_same_rights(path: Path) -> None:
    """Those of the newest; what is named is in their place."""
    add(path, "ada", "--group", "staff", "--scope", "a", "--scope", "b")
    add(path, "ada", "--again")
    add(path, "ada", "--again", "--scope", "c")
    done = run("add", "ada", "--again", "--expires", "1d", "--file", str(path))
    assert [(list(kept.groups), list(kept.scopes)) for kept in read_keys(path)] == [
        (["staff"], ["a", "b"]),
        (["staff"], ["a", "b"]),
        (["staff"], ["c"]),
        (["staff"], ["c"]),
    ]
    assert "of ada, groups staff, scopes c, good until" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a b"], "NAME must be letters"),
        ([""], "NAME must be letters"),
        (["key:ada"], "NAME must be letters"),
        (["ada\n"], "NAME must be letters"),
        (["ada", "--group", ""], "a group must be"),
        (["ada", "--group", "\x1b[2J"], "a group must be"),
        (["ada", "--scope", "a b"], "a scope has no spaces"),
        (["ada", "--expires", "soon"], "--expires takes 12h"),
        (["ada", "--expires", "0d"], "--expires takes 12h"),
        (["ada", "--expires", "2020-01-01"], "has passed already"),
    ],
)
def test_what_can_not_be_a_key(path: Path, words: list[str], said: str) -> None:
    """A sentence, and no file."""
    done = run("add", *words, "--file", str(path))
    assert done.exit_code == 2
    assert said in done.output
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "seconds"), [("12h", 43_200.0), ("90d", 90.0 * DAY), ("2w", 14.0 * DAY), ("1y", 365.0 * DAY)]
)
def test_spans(text: str, seconds: float) -> None:
    """From now on."""
    assert read_expiry(text, 1000.0) == 1000.0 + seconds


@pytest.mark.parametrize(
    ("text", "ends"),
    [("1970-01-02", DAY), ("1970-01-02T00:00:00", DAY), ("1970-01-02T02:00:00+02:00", DAY), ("1970-01-02T00:00Z", DAY)],
)
def test_dates(text: str, ends: float) -> None:
    """In UTC, if nothing else is said."""
    assert read_expiry(text, 0.0) == ends


@pytest.mark.parametrize("text", ["", "d", "-1d", "1.5d", "999999y", "9999-99-99", "tomorrow", "１d"])
def test_what_is_no_time(text: str) -> None:
    """A sentence with what would be right."""
    with pytest.raises(click.UsageError, match="--expires"):
        read_expiry(text, 0.0)


def test_the_list(path: Path) -> None:
    """A line a key, with its last use; nothing of the key, nor of its hash."""
    shown = add(path, "ada", "-g", "ops", "-s", "read", "-s", "write")
    add(path, "bob", "--expires", "1h")
    ada, bob = read_keys(path)
    write_used(path, {ada.id: 0.0}, [ada.id])
    done = run("list", "--file", str(path))
    head, first, second = [re.split(r"  +", line) for line in done.stdout.splitlines()]
    assert head == ["ID", "NAME", "GROUPS", "SCOPES", "EXPIRES", "LAST USED"]
    assert first == [ada.id, "ada", "ops", "read write", "never", "1970-01-01T00:00:00Z"]
    assert second[:4] == [bob.id, "bob", "-", "-"]
    assert second[5] == "-"
    assert shown[16:] not in done.stdout
    assert ada.digest.hex() not in done.stdout


def test_one_that_has_expired(path: Path) -> None:
    """It is marked."""
    add(path, "ada", "--expires", "1h")
    path.write_text(re.sub(r'"expires": ".*"', '"expires": "2020-01-01T00:00:00Z"', path.read_text()))
    assert "2020-01-01T00:00:00Z (expired)" in run("list", "--file", str(path)).stdout


def test_revoking_by_id_and_by_name(path: Path) -> None:
    """An id is one key, a name all that there are of it."""
    add(path, "ada")
    add(path, "ada", "--again")
    add(path, "ada", "--again")
    add(path, "bob")
    first = read_keys(path)[0]
    assert run("revoke", first.id, "--file", str(path)).stdout == f"revoked {first.id} of ada\n"
    assert len(read_keys(path)) == 3
    assert run("revoke", "ada", "--file", str(path)).stdout.count("of ada") == 2
    assert [kept.name for kept in read_keys(path)] == ["bob"]


def test_revoking_what_there_is_not(path: Path) -> None:
    """Status 2, so that a script notices; the file is not made."""
    done = run("revoke", "ada", "--file", str(path))
    assert (done.exit_code, path.exists()) == (2, False)
    add(path, "bob")
    done = run("revoke", "ada", "--file", str(path))
    assert done.exit_code == 2
    assert "there is no key of the name or id 'ada'" in done.output
    assert len(read_keys(path)) == 1


def test_which_file(path: Path, tmp_path: Path) -> None:
    """By option, by environment, or as the configuration of the server names it."""
    config = tmp_path / "mcp.toml"
    config.write_text('keys = "keys.json"\n')
    assert run("add", "ada", "--config", str(config)).exit_code == 0
    assert run("add", "bob", env={"MCPSERVE_KEYS": str(path)}).exit_code == 0
    assert [kept.name for kept in read_keys(path)] == ["ada", "bob"]
    none = run("add", "eve")
    assert (none.exit_code, "which file?" in none.output) == (2, True)


@pytest.mark.parametrize(("text", "said"), [("name = 'x'\n", "names no file of keys"), ("kees = 'x'\n", "'kees'")])
def test_a_configuration_that_names_none(tmp_path: Path, text: str, said: str) -> None:
    """A sentence."""
    config = tmp_path / "mcp.toml"
    config.write_text(text)
    done = run("list", "--config", str(config))
    assert done.exit_code == 2
    assert said in done.output


def test_a_file_that_is_broken(path: Path) -> None:
    """It is not written over."""
    path.write_text("{")
    path.chmod(0o600)
    for words in (["add", "ada"], ["list"], ["revoke", "ada"]):
        done = run(*words, "--file", str(path))
        assert done.exit_code == 2
        assert "not JSON" in done.output
    assert path.read_text() == "{"
