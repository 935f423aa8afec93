"""Where plugins come from: directories of Python files, and the entry points of installed packages.

A plugin that can't be loaded does not stop the others from being looked at, so that all that is wrong is said at once.
Each loading makes new modules, so that calls of the set before keep theirs.
"""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs

from mcpserve.errors import PluginError
from mcpserve.features.tool import MARK, Tool, build

GROUP = "mcpserve.plugins"
_generations = itertools.count()


@attrs.frozen(kw_only=True)
class Found:
    """What a look for plugins found: tools in order, and a sentence for each thing that is wrong."""

    tools: Sequence[Tool]
    problems: Sequence[str]


def discover(
    directories: Iterable[Path],
    settings: Mapping[str, Mapping[str, Any]],
    packages: Iterable[EntryPoint] | None = None,
) -> Found:
    """Load all plugins.

    Args:
        directories: Folders; each `*.py` in them whose name does not start with "_" is a plugin.
        settings: For each plugin by its name (file name without ".py", or entry point name), what `configure` gets.
        packages: The entry points to load; by default those of group `mcpserve.plugins`.

    Returns:
        The tools, directory by directory, file by file, in the order of their definition; and the problems.
    """
    tools: list[Tool] = []
    problems: list[str] = []
    seen: set[str] = set()
    for name, origin, load in _sources(directories, packages, problems):
        seen.add(name)
        try:
            tools.extend(_tools_of(load(), name, origin, settings.get(name)))
        except PluginError as error:
            problems.append(str(error))
    problems += [f"plugin.{name}: there is no such plugin" for name in sorted(set(settings) - seen)]
    return Found(tools=tools, problems=problems)


def _sources(directories: Iterable[Path], packages: Iterable[EntryPoint] | None, problems: list[str]) -> Iterable[Any]:
    for directory in directories:
        if not directory.is_dir():
            problems.append(f"{directory}: not a directory of plugins")
            continue
        for path in sorted(directory.glob("*.py")):
            if not path.name.startswith("_"):
                yield path.stem, str(path), lambda path=path: _load_file(path)
    for point in entry_points(group=GROUP) if packages is None else packages:
        origin = f"{point.dist.name} ({point.value})" if point.dist is not None else point.value
        yield point.name, origin, lambda point=point, origin=origin: _load_entry_point(point, origin)


def _load_file(path: Path) -> ModuleType:
    name = f"mcpserve_plugins.g{next(_generations)}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Classes look up their annotations through sys.modules while the module runs.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise PluginError(f"{path}{_line(error, path)}: {type(error).__name__}: {error}") from error
    except SystemExit as error:
        del sys.modules[name]
        raise PluginError(f"{path}: exits while it is imported; a plugin only defines tools") from error
    return module


def _load_entry_point(point: EntryPoint, origin: str) -> ModuleType:
    try:
        loaded = point.load()
    except Exception as error:
        raise PluginError(f"{origin}: {type(error).__name__}: {error}") from error
    if not isinstance(loaded, ModuleType):
        raise PluginError(f"{origin}: the entry point must name a module, not {type(loaded).__name__}")
    return loaded


def _line(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError):
        return f":{error.lineno}"
    trace, line = error.__traceback__, ""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = f":{trace.tb_lineno}"
        trace = trace.tb_next
    return line


def _tools_of(module: ModuleType, name: str, origin: str, settings: Mapping[str, Any] | None) -> list[Tool]:
    configure = getattr(module, "configure", None)
    if configure is not None:
        _configure(configure, name, origin, settings or {})
    elif settings is not None:
        raise PluginError(f"plugin.{name}: {origin} takes no settings")
    listed = getattr(module, "tools", None)
    functions = listed() if callable(listed) and not hasattr(listed, MARK) else _marked(module)
    tools = [build(function, origin) for function in functions]
    if not tools and configure is None and listed is None:
        raise PluginError(f"{origin}: defines no tool; decorate a function with @mcpserve.tool")
    return tools


def _configure(configure: Any, name: str, origin: str, settings: Mapping[str, Any]) -> None:
    try:
        configure(settings)
    except PluginError as error:
        raise PluginError(f"plugin.{name}: {error}") from error
    except Exception as error:
        raise PluginError(f"{origin}: configure: {type(error).__name__}: {error}") from error


def _marked(module: ModuleType) -> list[Any]:
    """The marked functions that the module or a part of its package defines, in the order of their definition."""
    inside = module.__name__ + "."
    found = {
        id(value): value
        for value in vars(module).values()
        if hasattr(value, MARK) and f"{value.__module__}.".startswith(inside)
    }
    return list(found.values())
