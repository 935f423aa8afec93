"""Settings from a file and from the command line: each error names key, source, and what would be right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from mcpserve.errors import ConfigurationError
from mcpserve.service.settings import KNOWN, Settings, absolute, checked, read_file

TABLES = ("access", "plugin")
"""Settings that stand in the file alone, as tables."""


def put(tmp_path: Path, text: str | bytes) -> Path:
    """Write a configuration file."""
    path = tmp_path / "mcpserve.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_every_setting_can_stand_in_the_file(tmp_path: Path) -> None:
    """The defaults, written down, are read back as they are."""

    def toml(value: Any) -> str:
        if isinstance(value, tuple):
            return "[" + ", ".join(map(toml, value)) + "]"
        return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')

    usual = attrs.asdict(Settings(), recurse=False)
    defaults = {name: value for name, value in usual.items() if name not in TABLES}
    path = put(tmp_path, "\n".join(f"{name} = {toml(value)}" for name, value in defaults.items()))
    assert read_file(path) == defaults
    assert Settings(**read_file(path)) == Settings()


def test_plugin_tables(tmp_path: Path) -> None:
    """They are passed on as they are."""
    path = put(tmp_path, '[plugin.tail]\nroot = "/var/log"\n[plugin."market_news".feeds]\na = 1\n')
    assert read_file(path) == {"plugin": {"tail": {"root": "/var/log"}, "market_news": {"feeds": {"a": 1}}}}


def test_rules_of_access(tmp_path: Path) -> None:
    """They are read as `policy.rules` reads them; each problem names the file."""
    path = put(tmp_path, '[access.tools]\n"delete_*" = { groups = ["ops"] }\n')
    (rule,) = read_file(path)["access"].tools
    assert rule.condition.groups == {"ops"}
    path = put(tmp_path, "[access]\ntool = 1\nlist_step_up = 2\n")
    with pytest.raises(ConfigurationError) as caught:
        read_file(path)
    assert [line.startswith(f"{path}: access") for line in str(caught.value).split("\n")] == [True, True]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("listen", "tcp:8000", "must be a list of texts, not 'tcp:8000'"),
        ("listen", [8000], "must be a list of texts"),
        ("shipped", "yes", "must be true or false"),
        ("shipped", 1, "must be true or false"),
        ("drain", "10", "must be a number"),
        ("drain", True, "must be a number"),
        ("drain", float("nan"), "must be a number"),
        ("drain", float("inf"), "must be a number"),
        ("drain", 10**400, "must be a number"),
        ("drain", -1, "must be at least 0, not -1"),
        ("max_calls", 1.5, "must be a whole number"),
        ("max_calls", 0, "must be at least 1"),
        ("state_key", "secret", "state_key must be 32 bytes in URL-safe base64"),
        ("state_key", "A" * 44, "state_key must be 32 bytes in URL-safe base64"),
        ("name", 5, "must be a text"),
        ("store", "", "store must be memory, or sqlite: and the name of a file, not ''"),
        ("store", "sqlite:", "store must be memory"),
        ("store", "redis:6379", "store must be memory"),
        ("store", "memory:x", "store must be memory"),
        ("plugin", [], "one table for each plugin, as in [plugin.tail]"),
        ("plugin", {"tail": 1}, "one table for each plugin"),
        ("liste", [], "there is no setting 'liste'; there are: listen, plugins"),
    ],
)
def test_what_does_not_fit(key: str, value: Any, words: str) -> None:
    """It names the source, the key, and what would be right."""
    with pytest.raises(ConfigurationError) as caught:
        checked(key, value, "a.toml")
    assert str(caught.value).startswith("a.toml: ")
    assert key in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "taken"), [("drain", 5, 5.0), ("listen", ["unix:a"], ("unix:a",)), ("max_calls", 1, 1)]
)
def test_what_fits(key: str, value: Any, taken: Any) -> None:
    """A whole number is a number; a list is kept as a tuple."""
    assert checked(key, value, "a.toml") == taken
    assert type(checked(key, value, "a.toml")) is type(taken)


def test_names_of_files_count_from_the_file(tmp_path: Path) -> None:
    """A daemon has another directory when it looks for them."""
    values = read_file(put(tmp_path, 'plugins = ["p", "/q"]\nstore = "sqlite:s.db"\n'))
    assert values == {"plugins": (str(tmp_path / "p"), "/q"), "store": f"sqlite:{tmp_path / 's.db'}"}
    assert absolute({"store": "memory"}, tmp_path) == {}
    assert absolute({"store": "sqlite:/x/s.db"}, tmp_path) == {"store": "sqlite:/x/s.db"}


def test_all_that_is_wrong_in_a_file(tmp_path: Path) -> None:
    """Is said at once, a line each."""
    path = put(tmp_path, 'drain = "x"\nname = "ok"\nnope = 1\npage_size = 0\n')
    with pytest.raises(ConfigurationError) as caught:
        read_file(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"{path}: ") for line in lines)


@pytest.mark.parametrize(
    ("text", "words"), [("a = ", "not TOML"), ("a = 1\na = 2", "not TOML"), (b"\xff\xfe", "can't be read")]
)
def test_files_that_are_no_toml(tmp_path: Path, text: str | bytes, words: str) -> None:
    """One sentence with the file in it."""
    path = put(tmp_path, text)
    with pytest.raises(ConfigurationError, match=words) as caught:
        read_file(path)
    assert str(path) in str(caught.value)


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    """A missing file, and a directory."""
    with pytest.raises(ConfigurationError, match="can't be read: No such file"):
        read_file(tmp_path / "missing.toml")
    with pytest.raises(ConfigurationError, match="can't be read: Is a directory"):
        read_file(tmp_path)


def test_each_setting_says_what_it_is() -> None:
    """The table makes the help text, so that nothing may be missing in it."""
    for name, field in KNOWN.items():
        if name not in TABLES:
            assert field.metadata["what"].endswith(".")
