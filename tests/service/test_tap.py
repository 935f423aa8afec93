"""The command line: options, and how they meet the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.application.service import IService

from mcpserve.service.settings import Settings
from mcpserve.service.tap import Options, makeService


def parse(*words: str) -> Settings:
    """The settings of a command line."""
    options = Options()
    options.parseOptions(list(words))
    return options.settings


def refusal(*words: str) -> str:
    """The sentence with which the process would end, with status 1."""
    with pytest.raises(SystemExit) as caught:
        makeService(_parsed(*words))
    assert isinstance(caught.value.code, str)
    assert "\n" not in caught.value.code.strip()
    return caught.value.code


def _parsed(*words: str) -> Options:
    options = Options()
    options.parseOptions(list(words))
    return options


def test_nothing_said() -> None:
    """Everything has a default."""
    assert parse() == Settings()


def test_each_kind_of_option() -> None:
    """Texts, numbers, whole numbers, flags, and lists by repetition."""
    settings = parse(
        *("--name", "n", "--drain", "2.5", "--max-calls", "7", "--no-shipped"),
        *("--listen", "tcp:1", "--listen", "unix:a", "--allow-host", "h", "--allow-origin", "http://o"),
        *("--plugins", "p", "--only", "a", "--only", "b", "--without", "c"),
    )
    assert settings == Settings(
        name="n",
        drain=2.5,
        max_calls=7,
        shipped=False,
        listen=("tcp:1", "unix:a"),
        allow_hosts=("h",),
        allow_origins=("http://o",),
        plugins=(str(Path.cwd() / "p"),),
        only=("a", "b"),
        without=("c",),
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--rate-per-adress", "1/minute"), "option --rate-per-adress not recognized; is --rate-per-address meant?"),
        (("--zzz",), "option --zzz not recognized"),
        (("serve",), "Wrong number of arguments."),
        (("--drain",), "option --drain requires argument"),
    ],
)
def test_a_command_line_that_is_none(words: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, which says where the options stand, and not all of them."""
    with pytest.raises(SystemExit) as caught:
        parse(*words)
    assert caught.value.code == 64
    assert capsys.readouterr().err == f"mcpserve: {sentence}; --help lists all options\n"


def test_two_command_lines_do_not_share_lists() -> None:
    """What one collects is its own."""
    assert (parse("--listen", "tcp:1").listen, parse("--listen", "tcp:2").listen) == (("tcp:1",), ("tcp:2",))


def test_the_command_line_wins(tmp_path: Path) -> None:
    """Over the file, which wins over the defaults."""
    path = tmp_path / "c.toml"
    path.write_text('name = "file"\ndrain = 3\nlisten = ["tcp:1"]\n[plugin.tail]\nroot = "/"\n')
    settings = parse("--config", str(path), "--name", "line", "--listen", "tcp:2")
    assert (settings.name, settings.drain, settings.listen) == ("line", 3.0, ("tcp:2",))
    assert settings.plugin == {"tail": {"root": "/"}}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--drain", "soon"), "mcpserve: --drain takes a number, not 'soon'"),
        (("--max-calls", "1.5"), "mcpserve: --max-calls takes a whole number, not '1.5'"),
        (("--drain", "-1"), "mcpserve: the command line: drain must be at least 0, not -1.0"),
        (("--drain", "nan"), "mcpserve: the command line: drain must be a number, not nan"),
        (("--plugins", "/no/such/place"), "mcpserve: /no/such/place: not a directory of plugins"),
        (("--without", "nope"), "mcpserve: without: nothing is named 'nope'; there are: "),
        (("--config", "/no/such/file"), "mcpserve: /no/such/file: can't be read: No such file or directory"),
    ],
)
def test_what_is_wrong_is_one_sentence(words: tuple[str, ...], sentence: str) -> None:
    """Not a traceback; the name of the program stands before it."""
    assert refusal(*words).startswith(sentence)


@pytest.mark.parametrize(("plugin", "status"), [("x = 1", 1), ("1 / 0", 1), (None, 0)])
def test_check(tmp_path: Path, plugin: str | None, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what would be served, or all that is wrong, and ends with the status for scripts."""
    if plugin is not None:
        (tmp_path / "p.py").write_text(plugin)
    with pytest.raises(SystemExit) as caught:
        parse("--check", "--plugins", str(tmp_path))
    assert caught.value.code == status
    assert ("Ready: " in capsys.readouterr().out) is (status == 0)


def test_check_looks_at_endpoints_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Without listening: a word for an endpoint that there is not, or a certificate that can't be read."""
    with pytest.raises(SystemExit) as caught:
        parse("--check", "--listen", "foo:1", "--listen", "ssl:0:privateKey=/no/such/key.pem", "--listen", "tcp:0")
    assert caught.value.code == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.split(" is not")[0] for line in said[1:]] == [
        "listen: 'foo:1'",
        "listen: 'ssl:0:privateKey=/no/such/key.pem'",
    ]


def test_the_help_text() -> None:
    """Each option of the settings is in it, with its default."""
    text = str(Options())
    for words in ("--listen=", "--allow-host=", "--drain=", "[default: 10.0]", "--check", "--config=", "Repeatable."):
        assert words in text


def test_a_service_is_made() -> None:
    """It listens only when it is started."""
    assert IService.providedBy(makeService(_parsed("--listen", "tcp:0:interface=127.0.0.1")))
