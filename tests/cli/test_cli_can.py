"""`mcpserve can`: what it says, and with which status."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import click
import pytest
from click.testing import CliRunner

from mcpserve.cli.can import can
from mcpserve.cli.keys import keys
from mcpserve.cli.program import WRONG_USAGE, program

PLUGIN = """
from mcpserve import prompt, resource, tool

@tool(groups=["ops"])
def reboot() -> str:
    "Reboot."
    return ""

@tool
def both() -> str:
    "Be a tool."
    return ""

@prompt(name="both")
def another() -> str:
    "Be a prompt."
    return ""

@resource("note://{day}")
def note(day: str) -> str:
    "Be a note."
    return day
"""
CONFIG = """
keys = "keys.json"
plugins = ["plugins"]
shipped = false
scope_includes = ["admin=read write"]

[access.tools]
both = { scopes = ["read"] }

[access.prompts]
both = "nobody"

[access.resources]
"note://mon*" = { groups = ["ops"] }
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A server with rules, and keys of ann and bob."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "plugin.py").write_text(PLUGIN)
    path = tmp_path / "mcpserve.toml"
    path.write_text(CONFIG)
    for words in (["ann", "-g", "ops"], ["bob", "-g", "hr", "-s", "admin"]):
        assert CliRunner().invoke(keys, ["add", *words, "--file", str(tmp_path / "keys.json")]).exit_code == 0
    return path


@attrs.frozen
class Done:
    """What came of it."""

    exit_code: int
    output: str


def run(config: Path, *words: str) -> Done:
    """Ask, as the program does."""
    done = CliRunner().invoke(can, [*words, "--config", str(config)], standalone_mode=False)
    if isinstance(done.exception, click.ClickException):
        return Done(WRONG_USAGE, done.exception.format_message())
    assert done.exception is None
    return Done(done.return_value, done.output)


def test_it_is_one_of_the_commands() -> None:
    """`mcpserve can` is listed, and leads here."""
    assert re.search(r"^  can  ", CliRunner().invoke(program, ["--help"]).output, re.MULTILINE)
    assert CliRunner().invoke(program, ["can", "--help"]).exit_code == 0


@pytest.mark.parametrize(
    ("who", "thing", "status", "words"),
    [
        ("ann", "reboot", 0, "may use the tool reboot"),
        ("bob", "reboot", 1, "may not use the tool reboot: it is not listed, and answered as one that does not exist"),
        ("bob", "note://sunday", 0, "may use the resource note://sunday"),
        ("bob", "note://monday", 1, "may not use the resource note://monday"),
        ("bob", "note://%6donday", 1, "may not use the resource note://%6donday"),
        ("ann", "note://monday", 0, "may use the resource note://monday"),
        ("ann", "note://{day}", 0, "may use the resource note://{day}"),
        ("-", "note://sunday", 1, "but who shows no credential is not let in here"),
    ],
)
def test_an_answer(config: Path, who: str, thing: str, status: int, words: str) -> None:
    """Yes or no, and the exit status says the same."""
    done = run(config, who, thing)
    assert (done.exit_code, words in done.output) == (status, True), done.output


def test_a_reason(config: Path) -> None:
    """Each rule that counts is told, with what is missing; scopes are those that the key's scopes include."""
    lines = run(config, "ann", "both", "--kind", "tool").output.split("\n")
    assert re.fullmatch(r"ann \(key \w+\) may not use the tool both yet: .* 403 insufficient_scope, .* read", lines[0])
    assert lines[1:] == ["  access.tools.'both' wants the scopes read (lacks read)", ""]
    assert run(config, "bob", "both", "--kind", "tool").exit_code == 0
    assert "its plugin wants the group ops (lacks it)" in run(config, "bob", "reboot").output


def test_a_name_of_several_things(config: Path) -> None:
    """All of them are told; one that may not be used is enough for a no."""
    done = run(config, "bob", "both")
    assert ("may use the tool both" in done.output, "may not use the prompt both" in done.output) == (True, True)
    assert done.exit_code == 1


def test_several_keys_of_one_name(config: Path) -> None:
    """One line for each; the id alone means that one."""
    file = str(config.parent / "keys.json")
    assert CliRunner().invoke(keys, ["add", "ann", "--again", "--group", "guests", "--file", file]).exit_code == 0
    done = run(config, "ann", "reboot")
    assert len(re.findall(r"^ann \(key", done.output, re.MULTILINE)) == 2
    assert done.exit_code == 1
    (id,) = re.findall(r"^ann \(key (\w+)\) may use", done.output, re.MULTILINE)
    assert run(config, id, "reboot").exit_code == 0


def test_a_key_that_has_expired(config: Path) -> None:
    """It is let in nowhere, whatever the rules say."""
    file = config.parent / "keys.json"
    text = file.read_text()
    assert '"expires": null' in text
    file.write_text(text.replace('"expires": null', '"expires": "2020-01-01T00:00:00Z"'))
    done = run(config, "ann", "reboot")
    assert (done.exit_code, "the key expired on 2020-01-01" in done.output) == (1, True)


def test_somebody_with_a_token(config: Path) -> None:
    """What the token says is given; no key is looked for."""
    assert run(config, "https://issuer|sub", "reboot", "-g", "ops").exit_code == 0
    assert run(config, "https://issuer|sub", "both", "--kind", "tool", "-s", "admin").exit_code == 0


def test_a_token_that_is_not_let_in(config: Path) -> None:
    """Whatever it may be good for."""
    tokens = 'issuers = ["https://as.example"]\npublic_url = "https://mcp.example.org"\nscopes = ["mcp"]\n'
    config.write_text(tokens + CONFIG)
    done = run(config, "ida", "both", "--kind", "tool", "--scope", "read")
    assert done.exit_code == 1
    assert "but a token without the scope mcp (scopes) is not let in" in done.output
    assert run(config, "ida", "both", "--kind", "tool", "--scope", "read", "--scope", "mcp").exit_code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("ann", "rebot"), "there is no tool, prompt or resource 'rebot'"),
        (("ann", "reboot", "--kind", "prompt"), "there is no prompt 'reboot'"),
        (("eve", "reboot"), "there is no key of the name or id 'eve'"),
    ],
)
def test_what_there_is_not(config: Path, words: tuple[str, ...], told: str) -> None:
    """Wrong usage, with what is wrong: it is no answer."""
    done = run(config, *words)
    assert (done.exit_code, told in done.output) == (2, True), done.output


def test_a_server_without_keys(config: Path) -> None:
    """Whoever is meant is described; and everybody is let in."""
    config.write_text(CONFIG.replace('keys = "keys.json"', ""))
    done = run(config, "ann", "reboot")
    assert (done.exit_code, "no API keys" in done.output) == (2, True)
    assert run(config, "-", "note://sunday").exit_code == 0


def test_rules_that_name_nothing(config: Path) -> None:
    """The same sentence as when the server starts."""
    config.write_text(CONFIG + '\n"gone://*" = "nobody"\n')
    done = run(config, "ann", "reboot")
    assert done.exit_code == 2
    assert "access.resources.'gone://*': nothing is named so; there are: note://{day}" in done.output
