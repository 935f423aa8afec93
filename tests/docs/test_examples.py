"""The documentation's examples: each block is a part of an example file, and each example file does what it says."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mcpserve import Caller, Image
from mcpserve.features.discovery import GROUP, Found, discover
from mcpserve.protocol.inputs import InputRequest
from mcpserve.service.identity import check_identity
from mcpserve.service.plugins import load
from mcpserve.service.settings import Settings, read_file
from mcpserve.testing import ToolRunner

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

BLOCK = re.compile(r"^```(python|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

CALLS: list[tuple[str, dict[str, Any], str]] = [
    ("greet", {"name": "Ada"}, "Hello, Ada!"),
    ("bake", {"loaves": 2}, "Baked 2 loaves."),
    ("watch_load", {"samples": 3}, '{"highest":'),
    ("count", {"limit": 5}, "Counted to 5."),
    ("stretch", {"password": "secret", "rounds": 20_000}, "9c36d8a3"),
    ("order", {"items": [{"article": "bread"}], "region": "north"}, '{"number":1,"items":[{"article":"bread"'),
    ("square", {"size": 3}, "A black square of 3 by 3 pixels."),
    ("search", {"query": "rye", "limit": 1}, '["result 1 for rye"]'),
    ("count_results", {"query": "rye", "limit": 7}, "7"),
    ("motto", {}, "Be brief."),
    ("weigh_loaf", {"grams": 750}, '{"grams":750}'),
    ("keep_running", {"name": "backup"}, "backup is done."),
    ("heat", {"target": 180}, "The oven is at 180"),
    ("build_archive", {"files": 4}, "The archive has 4 files."),
    ("empty_archive", {"files": 2}, "Deleted 2 files; there is a backup."),
    ("move_archive", {}, "The archive belongs to Ada."),
    ("check_accounts", {"accounts": 3}, "3 accounts are in order."),
]

CALLS += [
    ("book_table", {"day": "2030-05-01"}, "Booked for Ada on 2030-05-01, 2 persons, indoors."),
    ("shorten", {"text": "It is long."}, "Short."),
    ("plan_menu", {}, "Soup, 3 times."),
    ("pay", {"amount": 5}, "Payment 1 is under way."),
    ("open_till", {"reason": "change"}, "Opened by ada: change"),
]


def answer_of(question: InputRequest) -> Any:
    """What a client answers to the examples that ask."""
    if question.method == "sampling/createMessage":
        return "Soup" if question.key == "dish" else "Short."
    assert question.params is not None
    return "accept" if "url" in question.params else {"name": "Ada", "number": 3}


def blocks(kind: str) -> Iterator[Any]:
    """The fenced blocks of one language in all pages."""
    for page in PAGES:
        for number, (language, text) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")), 1):
            if language == kind:
                yield pytest.param(text, id=f"{page.relative_to(ROOT)}-{number}")


def is_part_of(text: str, path: Path) -> bool:
    """Whether these are whole lines of a file, one after the other."""
    return f"\n{text}" in f"\n{path.read_text(encoding='utf-8')}"


@pytest.fixture(scope="module")
def found() -> Found:
    """The examples, as the server loads a directory of plugins."""
    return discover([EXAMPLES], {}, packages=[])


@pytest.fixture
def runner(found: Found) -> ToolRunner:
    """All tools of the examples, ready to be called."""
    cashier = Caller(name="ada", groups=frozenset({"cashiers"}), scopes=frozenset({"till:open"}))
    return ToolRunner(*(tool.function for tool in found.tools), caller=cashier)


@pytest.mark.parametrize("text", list(blocks("python")))
def test_python_blocks_are_parts_of_example_files(text: str) -> None:
    """What a reader copies is what the tests run."""
    assert any(is_part_of(text, path) for path in EXAMPLES.rglob("*.py"))


@pytest.mark.parametrize("text", list(blocks("toml")))
def test_toml_blocks_are_parts_of_example_files(text: str) -> None:
    """What a reader copies is what the tests read."""
    assert any(is_part_of(text, path) for path in EXAMPLES.rglob("*.toml"))


def test_all_examples_load_and_are_called(found: Found) -> None:
    """The directory of examples is a directory of plugins without a fault, and the table above leaves no tool out."""
    assert found.problems == []
    assert {tool.name for tool in found.tools} == {name for name, _, _ in CALLS}


@pytest.mark.parametrize(("name", "arguments", "text"), CALLS, ids=[name for name, _, _ in CALLS])
def test_an_example_runs(runner: ToolRunner, name: str, arguments: dict[str, Any], text: str) -> None:
    """Each tool ends with the expected text, and leaves nothing behind."""
    call = runner.call(name, arguments, answers=answer_of)
    runner.clock.pump([0.1] * 60)
    assert call.text.startswith(text)
    assert not call.result.is_error
    assert runner.leftovers() == []


@pytest.mark.parametrize("name", ["bake", "watch_load", "count"])
def test_a_streaming_example_stops_with_its_client(runner: ToolRunner, name: str) -> None:
    """When the client goes away, nothing of the call is left."""
    call = runner.call(name)
    runner.clock.pump([0.1] * 15)
    assert call.progress
    call.drop()
    assert call.cancelled
    assert runner.leftovers() == []


def test_the_load_is_reported_at_once_and_each_second(runner: ToolRunner) -> None:
    """The first sample comes at once, the others a second apart."""
    call = runner.call("watch_load", samples=3)
    assert [step.value for step in call.progress] == [1]
    runner.clock.advance(1)
    assert [step.value for step in call.progress] == [1, 2]


def test_the_counter_pauses_with_its_reader(runner: ToolRunner) -> None:
    """The push producer counts no further while the reader is behind."""
    call = runner.call("count", limit=5)
    runner.clock.advance(0.1)
    call.stall()
    runner.clock.pump([0.1] * 20)
    call.resume()
    assert [step.message for step in call.progress] == ["1"]
    runner.clock.pump([0.1] * 10)
    assert call.text == "Counted to 5."


def test_the_finishing_example_goes_on_without_its_client(runner: ToolRunner) -> None:
    """With on_disconnect="finish" the work runs to its end, unheard."""
    call = runner.call("keep_running", name="backup")
    call.drop()
    assert runner.leftovers() != []
    runner.clock.advance(5)
    assert runner.leftovers() == []


def test_errors_of_examples_reach_the_model(runner: ToolRunner) -> None:
    """The text of a ToolError is the result."""
    order = runner.call("order", items=[], region="north").result
    assert order.is_error
    assert "at least one item" in order.content[0].text  # type: ignore[union-attr]
    assert runner.call("stretch", password="secret", rounds=0).result.is_error


def test_the_order_is_structured(runner: ToolRunner) -> None:
    """The attrs class that the function returns is the structured content."""
    call = runner.call("order", items=[{"article": "bread", "amount": 2}], region="south", delivery="2031-02-03")
    assert call.structured == {
        "number": 1,
        "items": [{"article": "bread", "amount": 2}],
        "delivery": "2031-02-03",
    }


def test_the_square_is_a_picture(runner: ToolRunner) -> None:
    """Text and picture arrive in order."""
    _, picture = runner.call("square", size=3).result.content
    assert isinstance(picture, Image)
    assert picture.data.startswith(b"\x89PNG")


def test_the_configured_example_checks_its_settings() -> None:
    """A good table counts, a wrong key or value is said."""
    good = discover([EXAMPLES], {"configured": {"motto": "Hurry slowly."}}, packages=[])
    [motto] = [tool.function for tool in good.tools if tool.name == "motto"]
    assert ToolRunner(motto).call("motto").text == "Hurry slowly."
    for table, said in (({"moto": ""}, "no setting 'moto'"), ({"motto": 7}, "must be a text, not 7")):
        [problem] = discover([EXAMPLES], {"configured": table}, packages=[]).problems
        assert said in problem


@pytest.fixture(params=["test_archive.py", "test_bakery.py", "test_cookbook.py", "test_oven.py", "test_questions.py"])
def authors_tests(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The examples of an author's own tests, imported with the plugins on the path, as an author would."""
    monkeypatch.syspath_prepend(EXAMPLES)
    before = set(sys.modules)
    spec = importlib.util.spec_from_file_location("authors_tests", EXAMPLES / "tests" / request.param)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_authors_tests_pass(authors_tests: ModuleType) -> None:
    """The tests that the documentation shows are tests that pass."""
    tests: list[Callable[[], None]] = [f for name, f in vars(authors_tests).items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()


CONFIGURATIONS = ["mcpserve.toml", "behind-a-proxy.toml", "hosts.toml", "shipped.toml", "durable.toml"]
CONFIGURATIONS += ["keys.toml", "tokens.toml", "introspection.toml", "permissions.toml", "public.toml", "tls.toml"]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configuration_files_are_read(name: str) -> None:
    """Each example of a configuration file holds settings that there are."""
    values = read_file(EXAMPLES / name)
    assert values
    assert Settings(**values) != Settings()


@pytest.mark.parametrize("name", ["tokens.toml", "introspection.toml"])
def test_settings_of_tokens_fit_together(name: str) -> None:
    """A server with such a file starts."""
    check_identity(Settings(**read_file(EXAMPLES / name)))


@pytest.fixture
def offered(found: Found) -> ToolRunner:
    """All prompts and resources of the examples, ready to be asked for."""
    functions = [*found.prompts, *found.resources]
    templates = list(found.directories.values())
    return ToolRunner(*(one.function for one in functions if one not in templates), *found.directories)


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("recipes://all", '["rolls","rye"]'),
        ("recipes://bread/rye", "Flour, water"),
        ("docs://examples/shelf.py", '"""A directory whose'),
        ("ui://bakery/loaf", "<!doctype html>"),
        ("oven://temperature", ""),
    ],
)
def test_a_resource_is_read(offered: ToolRunner, uri: str, text: str) -> None:
    """Each resource of the examples gives the expected text."""
    call = offered.read(uri)
    assert call.error is None
    assert call.text.startswith(text)


def test_the_prompt_is_gotten(offered: ToolRunner) -> None:
    """With the recipe in it."""
    call = offered.get_prompt("plan_baking", bread="rye")
    assert [message.role for message in call.messages] == ["user", "user", "assistant"]


def test_the_configuration_with_plugins_would_be_served() -> None:
    """The plugins, the tools and the tables that the example names exist."""
    settings = Settings(**read_file(EXAMPLES / "mcpserve.toml"))
    catalog = load(settings)
    assert catalog.tools.get("bake") is not None
    assert catalog.tools.get("stretch") is None


def test_the_entry_point_is_of_our_group() -> None:
    """The example of a package names the group that the server looks for."""
    project = tomllib.loads((EXAMPLES / "entry-point.toml").read_text(encoding="utf-8"))["project"]
    assert list(project["entry-points"]) == [GROUP]
