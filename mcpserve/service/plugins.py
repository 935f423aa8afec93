"""Loading what is served: shipped plugins, the operator's directories, installed packages; and saying what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import attrs

from mcpserve.errors import ConfigurationError, PluginError
from mcpserve.features.catalog import Catalogs, check_choice, select
from mcpserve.features.discovery import Found, catalogs_of, discover
from mcpserve.policy.rates import read_tool_rates
from mcpserve.service.permissions import check_rules
from mcpserve.service.settings import Settings

_HERE = Path(__file__).resolve().parent.parent


def shipped_directory() -> Path:
    """Where the shipped plugins are: inside the package once it is installed, beside it in a checkout."""
    installed = _HERE / "plugins"
    return installed if installed.is_dir() else _HERE.parent / "plugins"


def load(settings: Settings) -> Catalogs:
    """Load all plugins and make the catalogues.

    Raises:
        PluginError: Some can't be loaded, or have things of the same name; the message has a line for each.
        ConfigurationError: A name in the settings is that of nothing.
    """
    directories = [Path(directory) for directory in settings.plugins]
    if settings.shipped:
        directories.insert(0, shipped_directory())
    found = discover(directories, settings.plugin)
    # A name that is unknown now may be that of something in a broken plugin; so the names wait until all are well.
    problems = list(found.problems)
    try:
        catalogs = catalogs_of(found if problems else _chosen(found, settings), settings.page_size)
    except PluginError as error:
        problems.append(str(error))
    else:
        problems += _missing_pages(catalogs)
    if problems:
        raise PluginError("\n".join(problems))
    return catalogs


def _chosen(found: Found, settings: Settings) -> Found:
    """What the operator wants served of what there is."""
    only, without = settings.only, settings.without
    check_choice([*found.tools, *found.prompts, *found.resources], only, without)
    check_rules(settings.access, found)
    _check_rated(settings, found)
    return attrs.evolve(
        found,
        tools=select(found.tools, only, without),
        prompts=select(found.prompts, only, without),
        resources=select(found.resources, only, without),
    )


def _check_rated(settings: Settings, found: Found) -> None:
    """A rate of a tool that does not exist would bound nothing, and nobody would notice."""
    unknown = sorted(set(read_tool_rates(settings.tool_rates)) - {tool.name for tool in found.tools})
    if unknown:
        known = ", ".join(sorted(tool.name for tool in found.tools))
        raise ConfigurationError(f"tool_rates: there is no tool {', '.join(map(repr, unknown))}; there are: {known}")


def _missing_pages(catalogs: Catalogs) -> Iterator[str]:
    """A sentence for each tool whose interface is not served. Spec: MCP Apps: "Resource MUST exist on the server"."""
    for tool in catalogs.tools:
        shown = (tool.definition.meta or {}).get("ui")
        uri = shown.get("resourceUri") if isinstance(shown, Mapping) else None
        if isinstance(uri, str) and catalogs.library.find(uri) is None:
            yield f"{tool.origin}: tool {tool.name!r}: its `_meta` names the resource {uri}, which is not served"


def report(
    settings: Settings,
    out: TextIO,
    parse: Callable[[str], object] = str,
    checks: Sequence[Callable[[Settings], object]] = (),
) -> int:
    """Say what would be served, or all that is wrong.

    Args:
        settings: What the operator set.
        out: Where to say it.
        parse: Reads the description of an endpoint; raises ConfigurationError.
        checks: What else looks at the settings; they raise ConfigurationError.

    Returns:
        The exit status: 0 when it would be served, 1 when not.
    """
    catalogs, problems = Catalogs(), []
    for description in (*settings.listen, *settings.ops_listen):
        try:
            parse(description)
        except ConfigurationError as error:
            problems.append(str(error))
    for check in checks:
        try:
            check(settings)
        except ConfigurationError as error:
            problems.append(str(error))
    try:
        catalogs = load(settings)
    except (PluginError, ConfigurationError) as error:
        problems.append(str(error))
    if problems:
        print("Not ready:", *problems, sep="\n", file=out)
        return 1
    _say_where(settings, out)
    for kind, catalog in catalogs.kinds():
        for item in catalog:
            print(f"{kind:9} {_shown(item):24} {item.origin}", file=out)
    print(f"Ready: {catalogs.counted()}.", file=out)
    return 0


def _say_where(settings: Settings, out: TextIO) -> None:
    for endpoint in settings.listen:
        print(f"listen    {endpoint}", file=out)
    for endpoint in settings.ops_listen:
        print(f"operate   {endpoint}", file=out)


def _shown(item: Any) -> str:
    """What it is listed by, and the name that `--only` and `--without` know it by, if that is another."""
    name = item.definition.name
    return item.name if name == item.name else f"{item.name} ({name})"
