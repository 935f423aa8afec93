"""Plugins from directories and packages; what is wrong with them is said all at once."""

from __future__ import annotations

import os
import py_compile
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from mcpserve.features.discovery import Found, discover
from mcpserve.testing import ToolRunner

GOOD = """
from mcpserve import tool

@tool
def {name}() -> str:
    "Say it."
    return "{name}"
"""


@pytest.fixture(autouse=True)
def modules() -> Iterator[None]:
    """Forgets the modules that a test has loaded."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


class Folder:
    """A directory of plugins."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, name: str, source: str) -> Path:
        """Write a plugin."""
        path = self.path / name
        path.write_text(textwrap.dedent(source))
        return path

    def find(self, settings: Mapping[str, Mapping[str, Any]] | None = None) -> Found:
        """Load what is there."""
        return discover([self.path], settings or {}, [])


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty directory of plugins."""
    return Folder(tmp_path)


def names(found: Found) -> list[str]:
    """The names of the tools that were found, when nothing is wrong."""
    assert found.problems == []
    return [tool.name for tool in found.tools]


def test_a_plugin_in_ten_lines(folder: Folder) -> None:
    """A file with a decorated function, with postponed annotations."""
    path = folder.put(
        "greet.py",
        """
        from __future__ import annotations

        from mcpserve import Call, tool

        @tool
        async def greet(call: Call, name: str = "you") -> str:
            "Greet somebody."
            await call.progress(1)
            return f"Hello, {name}."
        """,
    )
    found = folder.find()
    assert names(found) == ["greet"]
    assert found.tools[0].origin == str(path)
    assert ToolRunner(found.tools[0].function).call("greet", name="Ada").text == "Hello, Ada."


def test_order_and_what_is_no_plugin(folder: Folder) -> None:
    """File by file by name, in a file in the order of the definitions; files that begin with _ are parts of others."""
    folder.put("b.py", GOOD.format(name="b2") + GOOD.format(name="b1"))
    folder.put("a.py", GOOD.format(name="a"))
    folder.put("_part.py", "raise SystemExit")
    folder.put("notes.txt", "no Python")
    assert names(folder.find()) == ["a", "b2", "b1"]


def test_attrs_classes_with_postponed_annotations(folder: Folder) -> None:
    """Hints that name classes of the plugin itself are found."""
    folder.put(
        "shapes.py",
        """
        from __future__ import annotations

        import attrs
        from mcpserve import tool

        @attrs.frozen
        class Point:
            x: int
            other: Point | None = None

        @tool
        def mirror(point: Point) -> Point:
            "Mirror a point."
            return Point(-point.x)
        """,
    )
    found = folder.find()
    assert names(found) == ["mirror"]
    call = ToolRunner(found.tools[0].function).call("mirror", point={"x": 1})
    assert call.structured["x"] == -1


def test_what_is_only_imported_is_not_served(folder: Folder) -> None:
    """A tool of another module is not served again, a second name for one of its own not twice."""
    folder.put("own.py", "from plugins.echo import echo\n" + GOOD.format(name="own") + "alias = own\n")
    assert names(folder.find()) == ["own"]


def test_reloading_makes_new_modules(folder: Folder) -> None:
    """Calls of the set before keep theirs; an edit within the same second and of the same length is seen."""
    path = folder.put("one.py", GOOD.format(name="aaa"))
    os.utime(path, (1000, 1000))
    py_compile.compile(str(path))
    before = folder.find().tools[0]
    folder.put("one.py", GOOD.format(name="bbb"))
    os.utime(path, (1000, 1000))
    after = folder.find().tools[0]
    assert (before.name, after.name) == ("aaa", "bbb")
    assert before.function() == "aaa"
    assert before.function.__globals__ is not after.function.__globals__


def test_two_files_of_the_same_name(tmp_path: Path) -> None:
    """They are two plugins with modules of their own."""
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        Folder(tmp_path / name).put("same.py", GOOD.format(name=name))
    found = discover([tmp_path / "x", tmp_path / "y"], {}, [])
    assert names(found) == ["x", "y"]
    assert found.tools[0].function() == "x"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def f(:\n", ":1: SyntaxError: "),
        ("x = 1\nimport no_such_module_anywhere\n", ":2: ModuleNotFoundError: No module named"),
        ("def f():\n    return 1 / 0\n\nf()\n", ":2: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)\n", ":2: exits while it is loaded"),
        ("compile('x' * 3 + '(', 'elsewhere.py', 'exec')\n", ":1: SyntaxError"),
        ("from mcpserve import tool\n\n@tool(nmae='x')\ndef f(): ...\n", ":3: TypeError: "),
        ("x = 1\n", ": defines no tool, prompt or resource; decorate a function, as with @mcpserve.tool"),
        ("tools = [1]\n", ": defines no tool"),
        ("def tools():\n    return 1 / 0\n", ": tools: ZeroDivisionError: division by zero"),
        ("def tools():\n    raise SystemExit\n", ": tools: exits while it is loaded"),
        ("def tools():\n    return [print]\n", ": tools: <built-in function print> is no tool; decorate it"),
        ("def tools():\n    return None\n", ": tools: TypeError: "),
        ("from mcpserve import PluginError\ndef tools():\n    raise PluginError('Not here.')\n", ": Not here."),
        ("from mcpserve import tool\n@tool(timeout='x')\ndef f(): ...\n", ": tool 'f': timeout is a number"),
    ],
)
def test_broken_plugins(folder: Folder, source: str, words: str) -> None:
    """Each is one sentence that names the file and, where there is one, the line; nothing of it is served."""
    path = folder.put("broken.py", source)
    found = folder.find()
    assert found.tools == []
    assert len(found.problems) == 1
    assert found.problems[0].startswith(str(path) + words.partition(" ")[0])
    assert words in found.problems[0]


def test_a_plugin_that_failed_leaves_no_module(folder: Folder) -> None:
    """Half a module is no module."""
    folder.put("broken.py", "1 / 0")
    before = set(sys.modules)
    assert len(folder.find().problems) == 1
    assert set(sys.modules) == before


def test_bytes_that_are_no_source(folder: Folder) -> None:
    """Neither a directory nor binary data with the name of a plugin ends anything."""
    (folder.path / "dir.py").mkdir()
    (folder.path / "zero.py").write_bytes(b"a\x00b")
    (folder.path / "latin.py").write_bytes(b"x = '\xff'")
    problems = folder.find().problems
    assert len(problems) == 3
    assert all(str(folder.path) in problem and "None" not in problem for problem in problems)


def test_all_that_is_wrong_at_once(folder: Folder) -> None:
    """One broken plugin, or tool, does not hide another; what is well is found."""
    folder.put("a.py", "1 / 0")
    folder.put(
        "b.py",
        """
        from mcpserve import tool

        @tool(name="not a name")
        def one() -> None:
            "One."

        @tool
        def two() -> None:
            "Two."

        @tool(timeout=0)
        def three() -> None:
            "Three."
        """,
    )
    found = discover([folder.path / "nowhere", folder.path], {"ghost": {}}, [])
    assert [tool.name for tool in found.tools] == ["two"]
    assert len(found.problems) == 5
    assert "not a directory of plugins" in found.problems[0]
    assert "ZeroDivisionError" in found.problems[1]
    assert "'not a name'" in found.problems[2]
    assert "'three'" in found.problems[3]
    assert found.problems[4] == "plugin.ghost: there is no such plugin"


CONFIGURABLE = """
from mcpserve import PluginError, tool

seen = []

def configure(settings):
    seen.append(dict(settings))
    if "wrong" in settings:
        raise PluginError("wrong: there is no such setting")
    if "crash" in settings:
        raise KeyError("crash")

@tool
def look() -> list:
    "Show the settings."
    return seen
"""


def test_configure(folder: Folder) -> None:
    """It gets its table, or an empty one, once, before its tools are made."""
    folder.put("look.py", CONFIGURABLE)
    assert folder.find({"look": {"a": 1}}).tools[0].function() == [{"a": 1}]
    assert folder.find().tools[0].function() == [{}]


@pytest.mark.parametrize(
    ("key", "sentence"),
    [("wrong", "plugin.look: wrong: there is no such setting"), ("crash", "look.py: configure: KeyError: 'crash'")],
)
def test_configure_refuses(folder: Folder, key: str, sentence: str) -> None:
    """A PluginError is for the operator and names the table; anything else names the file."""
    folder.put("look.py", CONFIGURABLE)
    found = folder.find({"look": {key: 1}})
    assert found.tools == []
    assert found.problems[0].endswith(sentence)


def test_settings_for_a_plugin_that_takes_none(folder: Folder) -> None:
    """They would be ignored, which nobody wants."""
    path = folder.put("one.py", GOOD.format(name="one"))
    assert folder.find({"one": {}}).problems == [f"plugin.one: {path} takes no settings"]


def test_a_plugin_that_is_off_until_it_is_configured(folder: Folder) -> None:
    """`configure` and `tools` together: no tools is an answer."""
    folder.put(
        "off.py",
        GOOD.format(name="off")
        + """
on = False

def configure(settings):
    global on
    on = settings.get("on", False)

def tools():
    return [off] if on else []
""",
    )
    assert names(folder.find()) == []
    assert names(folder.find({"off": {"on": True}})) == ["off"]


def test_a_tool_that_is_called_tools(folder: Folder) -> None:
    """It is a tool, and not the list of them."""
    folder.put("one.py", GOOD.format(name="tools"))
    assert names(folder.find()) == ["tools"]


def test_objects_that_answer_to_every_name(folder: Folder) -> None:
    """A module may hold proxies that have any attribute, or raise for any: they are no tools, and no reason to fail."""
    folder.put(
        "odd.py",
        GOOD.format(name="odd")
        + """
class Yes:
    def __getattr__(self, name):
        return self

class No:
    def __getattribute__(self, name):
        raise RuntimeError(name)

yes, no = Yes(), No()
""",
    )
    assert names(folder.find()) == ["odd"]


# --- packages


@pytest.fixture
def package(folder: Folder, running_reactor: Any) -> Iterator[Callable[[str, str], EntryPoint]]:
    """Makes a module that can be imported, and an entry point for it."""
    sys.path.insert(0, str(folder.path))

    def make(name: str, source: str) -> EntryPoint:
        folder.put(f"{name}.py", source)
        return EntryPoint(name=name, value=name, group="mcpserve.plugins")

    yield make
    sys.path.remove(str(folder.path))


def test_an_entry_point(package: Callable[[str, str], EntryPoint]) -> None:
    """An installed module with decorated functions; it is configured by the name of its entry point."""
    point = package("packaged_look", CONFIGURABLE)
    found = discover([], {"packaged_look": {"b": 2}}, [point])
    assert names(found) == ["look"]
    assert found.tools[0].origin == "packaged_look"
    assert found.tools[0].function()[-1] == {"b": 2}


@pytest.mark.parametrize(
    ("source", "value", "words"),
    [
        ("1 / 0", "", "ZeroDivisionError"),
        ("raise SystemExit", "", "exits while it is loaded"),
        ("x = 1", "", "defines no tool"),
        (GOOD.format(name="f"), ":f", "must name a module, not function"),
        ("x = 1", ":missing", "AttributeError"),
    ],
)
def test_broken_entry_points(package: Callable[[str, str], EntryPoint], source: str, value: str, words: str) -> None:
    """They are refused as files are, by the name of the package."""
    point = package("packaged_broken", source)
    point = EntryPoint(name=point.name, value=point.value + value, group=point.group)
    found = discover([], {}, [point])
    assert found.tools == []
    assert len(found.problems) == 1
    assert found.problems[0].startswith("packaged_broken")
    assert words in found.problems[0]


def test_installed_entry_points_are_looked_up() -> None:
    """Without a list of its own it asks the installed packages; there are none here."""
    assert discover([], {}) == Found(tools=[], problems=[])
