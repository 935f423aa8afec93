"""Where plugins come from: directories of Python files, and the entry points of installed packages.

A plugin that can't be loaded does not stop the others from being looked at, so that all that is wrong is said at once.
Each loading makes new modules, so that calls of the set before keep theirs.
"""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import attrs

from mcpserve.errors import PluginError
from mcpserve.features.catalog import PAGE_SIZE, Catalog, Catalogs, Library
from mcpserve.features.directory import Directory
from mcpserve.features.prompt import PROMPT_MARK, Prompt, PromptOptions, build_prompt
from mcpserve.features.resource import RESOURCE_MARK, Resource, ResourceOptions, build_resource
from mcpserve.features.tool import MARK, Tool, ToolOptions, build

GROUP = "mcpserve.plugins"
_PACKAGE = "mcpserve_plugins."
_generations = itertools.count()
_BROKEN = (Exception, SystemExit)
"""What a plugin may raise while it is loaded, none of which is a reason for the server to end."""


_MARKS: Mapping[str, type[Any]] = {MARK: ToolOptions, PROMPT_MARK: PromptOptions, RESOURCE_MARK: ResourceOptions}


@attrs.frozen(kw_only=True)
class Found:
    """What a look for plugins found, each kind in order, and a sentence for each thing that is wrong.

    Args:
        tools: The tools.
        prompts: The prompts.
        resources: Single resources and templates; the templates of directories too.
        directories: The directories, with their templates.
        problems: What is wrong.
    """

    tools: list[Tool] = attrs.field(factory=list)
    prompts: list[Prompt] = attrs.field(factory=list)
    resources: list[Resource] = attrs.field(factory=list)
    directories: dict[Directory, Resource] = attrs.field(factory=dict)
    problems: list[str] = attrs.field(factory=list)

    def take(self, thing: Any, origin: str) -> None:
        """Build what a plugin has declared; a function may be several things at once."""
        if type(thing) is Directory:
            self._build(lambda: self._directory(thing, origin))
        if _is_marked(thing, MARK):
            self._build(lambda: self.tools.append(build(thing, origin)))
        if _is_marked(thing, PROMPT_MARK):
            self._build(lambda: self.prompts.append(build_prompt(thing, origin)))
        if _is_marked(thing, RESOURCE_MARK):
            self._build(lambda: self.resources.append(build_resource(thing, origin)))

    def _directory(self, directory: Directory, origin: str) -> None:
        template = directory.build(origin)
        self.directories[directory] = template
        self.resources.append(template)

    def _build(self, f: Callable[[], None]) -> None:
        try:
            f()
        except PluginError as error:
            self.problems.append(str(error))


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
        What they declare, directory by directory, file by file, in the order of its definition; and the problems.
    """
    found = Found()
    seen: set[str] = set()
    for name, origin, load in _sources(directories, packages, found.problems):
        seen.add(name)
        try:
            declared = _declared(load(), name, origin, settings.get(name))
        except PluginError as error:
            found.problems.append(str(error))
            continue
        for thing in declared:
            found.take(thing, origin)
    found.problems.extend(f"plugin.{name}: there is no such plugin" for name in sorted(set(settings) - seen))
    return found


def catalogs_of(found: Found, page_size: int = PAGE_SIZE) -> Catalogs:
    """Make the catalogues of what was found.

    Raises:
        PluginError: Some things have the same name; the message has a line for each pair.
    """
    problems: list[str] = []

    def catalog(items: Sequence[Any], noun: str) -> Catalog[Any]:
        try:
            return Catalog(items, page_size=page_size, noun=noun)
        except PluginError as error:
            problems.append(str(error))
            return Catalog()

    templates = [resource for resource in found.resources if resource.template.variables]
    single = [resource for resource in found.resources if not resource.template.variables]
    library = Library(
        resources=catalog(single, "resource"),
        templates=catalog(templates, "resource template"),
        directories={d: template for d, template in found.directories.items() if template in templates},
    )
    catalogs = Catalogs(tools=catalog(found.tools, "tool"), prompts=catalog(found.prompts, "prompt"), library=library)
    if problems:
        raise PluginError("\n".join(problems))
    return catalogs


def collect(things: Iterable[Any], origin: str, page_size: int = PAGE_SIZE) -> Catalogs:
    """Make the catalogues of some decorated functions and directories.

    Raises:
        PluginError: One of them does not fit.
    """
    found = Found()
    for thing in things:
        found.take(thing, origin)
    if found.problems:
        raise PluginError("\n".join(found.problems))
    return catalogs_of(found, page_size)


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


class _Fresh(SourceFileLoader):
    """Reads the source each time: the cache of bytecode can't tell apart two edits within the same second."""

    def get_code(self, fullname: str) -> CodeType | None:
        return self.source_to_code(self.get_data(self.path), self.path)


def _load_file(path: Path) -> ModuleType:
    name = f"{_PACKAGE}g{next(_generations)}.{path.stem}"
    # Only a file that was loaded before can have been edited since.
    again = any(n.startswith(_PACKAGE) and module.__file__ == str(path) for n, module in sys.modules.items())
    loader = _Fresh(name, str(path)) if again else SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # Classes look up their annotations through sys.modules while the module runs.
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except _BROKEN as error:
        del sys.modules[name]
        raise PluginError(f"{path}{_line(error, path)}: {_reason(error)}") from error
    return module


def _load_entry_point(point: EntryPoint, origin: str) -> ModuleType:
    try:
        loaded = point.load()
    except _BROKEN as error:
        raise PluginError(f"{origin}: {_reason(error)}") from error
    if not isinstance(loaded, ModuleType):
        raise PluginError(f"{origin}: the entry point must name a module, not {type(loaded).__name__}")
    return loaded


def _reason(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "exits while it is loaded; a plugin only defines tools"
    return f"{type(error).__name__}: {error}"


def _line(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError) and error.filename == str(path) and error.lineno is not None:
        return f":{error.lineno}"
    trace, line = error.__traceback__, ""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = f":{trace.tb_lineno}"
        trace = trace.tb_next
    return line


def _declared(module: ModuleType, name: str, origin: str, settings: Mapping[str, Any] | None) -> Sequence[Any]:
    """Configure a plugin, and find the functions and directories that it declares."""
    configure = getattr(module, "configure", None)
    if configure is not None:
        _configure(configure, name, origin, settings or {})
    elif settings is not None:
        raise PluginError(f"plugin.{name}: {origin} takes no settings")
    listed = getattr(module, "tools", None)
    listing = callable(listed) and not _is_declared(listed)
    things = _listed(listed, origin) if listing else _defined(module)
    if not things and configure is None and not listing:
        raise PluginError(f"{origin}: defines no tool, prompt or resource; decorate a function, as with @mcpserve.tool")
    return things


def _configure(configure: Any, name: str, origin: str, settings: Mapping[str, Any]) -> None:
    try:
        configure(settings)
    except PluginError as error:
        raise PluginError(f"plugin.{name}: {error}") from error
    except _BROKEN as error:
        raise PluginError(f"{origin}: configure: {_reason(error)}") from error


def _listed(tools: Any, origin: str) -> Sequence[Any]:
    try:
        functions = list(tools())
    except PluginError as error:
        raise PluginError(f"{origin}: {error}") from error
    except _BROKEN as error:
        raise PluginError(f"{origin}: tools: {_reason(error)}") from error
    for function in functions:
        if not _is_declared(function):
            raise PluginError(f"{origin}: tools: {function!r} is no tool; decorate it with @mcpserve.tool")
    return functions


def _defined(module: ModuleType) -> Sequence[Any]:
    """What the module or a part of its package declares, in the order of its definition."""
    inside = module.__name__ + "."
    found = {
        id(value): value
        for value in vars(module).values()
        if type(value) is Directory or (_is_declared(value) and f"{value.__module__}.".startswith(inside))
    }
    return list(found.values())


def _is_declared(value: Any) -> bool:
    return type(value) is Directory or any(_is_marked(value, mark) for mark in _MARKS)


def _is_marked(value: Any, mark: str) -> bool:
    """Look for a mark without asking the value: some objects have an answer, or an exception, for every name."""
    return isinstance(inspect.getattr_static(value, mark, None), _MARKS[mark])
