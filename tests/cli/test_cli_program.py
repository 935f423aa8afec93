"""The program: its commands, its usage, and what is loaded for which of them."""

from __future__ import annotations

import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete

from mcpserve.cli import program, shells, verdicts
from mcpserve.cli.entry import main
from mcpserve.cli.program import Program
from mcpserve.cli.shells import rejoined

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "client-command-line.md").read_text(encoding="utf-8")


def ended(*words: str) -> int | str | None:
    """The status with which a command line ends that carries nothing out."""
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    return caught.value.code


@pytest.mark.parametrize("name", list(Program.lazy))
def test_each_command_is_there(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With a usage of its own."""
    assert ended(name, "--help") == 0
    assert name in capsys.readouterr().out


def test_the_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """With what they do."""
    assert ended("--help") == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"^  {name} ", text, re.MULTILINE) for name in Program.lazy)


NO_TIMES = [["ping", "x", option, value] for option in ("--timeout", "--interval") for value in ("nan", "inf")]


@pytest.mark.parametrize(
    "words",
    [[], ["nope"], ["call"], ["call", "--nope"], ["ping", "--stdio"], ["ping", "x", "--timeout", "0"], *NO_TIMES],
)
def test_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Has a status of its own, and is said on standard error."""
    assert ended(*words) == 2
    said = capsys.readouterr()
    assert (said.out, bool(said.err)) == ("", True)


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Is that of the package."""
    assert ended("--version") == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_stdio_has_the_usage_that_it_had(capsys: pytest.CaptureFixture[str]) -> None:
    """And its status of wrong usage."""
    assert ended("stdio", "--nope") == 64
    assert capsys.readouterr().err == "mcpserve: option --nope not recognized\n"
    assert ended("stdio", "--listen", "tcp:1") == 64
    with pytest.raises(SystemExit) as caught:
        program.read(["stdio", "--nope"])
    assert caught.value.code == 64


LOADED = "import sys\nfrom mcpserve.cli.entry import main\ntry:\n    main({words})\nexcept SystemExit: pass\n" + (
    "print(sorted({{'click', 'rich', 'treq', 'mcpserve.client', 'twisted.internet.reactor'}} & sys.modules.keys()),"
    " file=sys.stderr)"
)


@pytest.mark.parametrize(
    ("words", "loaded"),
    [
        (["stdio", "--help"], ["twisted.internet.reactor"]),
        (["--help"], ["click"]),
        (["new-plugin", "--help"], ["click"]),
        (["call", "--help"], ["click", "mcpserve.client", "rich", "treq", "twisted.internet.reactor"]),
    ],
)
def test_only_what_is_needed_is_loaded(words: list[str], loaded: list[str]) -> None:
    """A host waits for `stdio`, a person for the usage."""
    script = LOADED.format(words=words)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert run.stderr.splitlines()[-1] == str(loaded)


def test_the_script_is_installed() -> None:
    """Under the name of the package."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["options.entry_points"]["console_scripts"].split() == ["mcpserve", "=", "mcpserve.cli.entry:main"]


# --- the page about it


def options_of(command: click.Command) -> set[str]:
    """The long options of a command."""
    return {name for one in command.params if isinstance(one, click.Option) for name in one.opts if name[:2] == "--"}


def test_every_command_and_option_is_documented() -> None:
    """And nothing else is; what only those need who run a server stands elsewhere."""
    options = {name: options_of(Program.lazy[name].load()) for name in Program.lazy}
    sections = set(re.findall(r"^### `([a-z-]+)", PAGE, re.MULTILINE))
    talks = {name for name, taken in options.items() if "--json-lines" in taken}
    assert sections == {*talks, "new-plugin", "stdio", "completion"}
    documented = set(re.findall(r"`(--[a-z-]+)", PAGE))
    assert documented == set().union(*(options[name] for name in sections))


def test_every_status_is_documented() -> None:
    """With its number."""
    documented = {int(number) for number in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert documented == {value for name, value in vars(verdicts).items() if name.isupper() and isinstance(value, int)}


# --- shells


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """For each shell that click knows."""
    assert ended("completion", shell) == 0
    assert "_MCPSERVE_COMPLETE" in capsys.readouterr().out


def completed(monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    """What bash would be told to offer for the last word."""
    shells.register()
    monkeypatch.setenv("COMP_WORDS", "\n".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    made = shells.BashWithUrls(program.program, {}, "mcpserve", "_MCPSERVE_COMPLETE")
    return [item.split(",")[1] for item in made.complete().splitlines()]


def test_words_are_completed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Commands, options, choices, and the names of servers in the file."""
    assert completed(monkeypatch, "mcpserve", "pro") == ["prompts", "prompt"]
    assert completed(monkeypatch, "mcpserve", "call", "--json-") == ["--json-lines"]
    assert completed(monkeypatch, "mcpserve", "call", "--revision", "2024") == ["2024-11-05"]
    (tmp_path / "servers").write_text('{"mcpServers": {"web": {"url": "http://x"}, "other": {"url": "http://y"}}}')
    monkeypatch.setenv("MCPSERVE_SERVERS", str(tmp_path / "servers"))
    assert completed(monkeypatch, "mcpserve", "ping", "w") == ["web"]
    monkeypatch.setenv("MCPSERVE_SERVERS", str(tmp_path / "none"))
    assert completed(monkeypatch, "mcpserve", "ping", "w") == []


def test_what_bash_takes_apart_is_put_together() -> None:
    """At colons and equals signs: a URL is one word."""
    words = ["mcpserve", "call", "http", ":", "//h", ":", "80/mcp", "add", "a", "=", "1", ""]
    whole = ["mcpserve", "call", "http://h:80/mcp", "add", "a=1", ""]
    assert rejoined(words, 7) == (whole, 3)
    assert rejoined(words, 6) == (whole, 2)
    assert rejoined(words, 11) == (whole, 5)
    assert rejoined(["mcpserve"], 1) == (["mcpserve"], 1)
    assert issubclass(shells.BashWithUrls, BashComplete)
