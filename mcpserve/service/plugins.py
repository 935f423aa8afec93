"""Loading what is served: shipped plugins, the operator's directories, installed packages; and saying what it is."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from mcpserve.errors import ConfigurationError, PluginError
from mcpserve.features.catalog import Catalog, select
from mcpserve.features.discovery import discover
from mcpserve.service.settings import Settings

_HERE = Path(__file__).resolve().parent.parent


def shipped_directory() -> Path:
    """Where the shipped plugins are: inside the package once it is installed, beside it in a checkout."""
    installed = _HERE / "plugins"
    return installed if installed.is_dir() else _HERE.parent / "plugins"


def load(settings: Settings) -> Catalog:
    """Load all plugins and make the catalogue.

    Raises:
        PluginError: Some can't be loaded, or have tools of the same name; the message has a line for each.
        ConfigurationError: A tool that the settings name does not exist.
    """
    directories = [Path(directory) for directory in settings.plugins]
    if settings.shipped:
        directories.insert(0, shipped_directory())
    found = discover(directories, settings.plugin)
    # A name that is unknown now may be that of a tool in a broken plugin; so the names wait until all plugins are well.
    chosen = found.tools if found.problems else select(found.tools, settings.only, settings.without)
    problems = list(found.problems)
    try:
        catalog = Catalog(chosen, page_size=settings.page_size)
    except PluginError as error:
        problems.append(str(error))
    if problems:
        raise PluginError("\n".join(problems))
    return catalog


def report(settings: Settings, out: TextIO) -> int:
    """Say what would be served, or all that is wrong.

    Returns:
        The exit status: 0 when it would be served, 1 when not.
    """
    try:
        catalog = load(settings)
    except (PluginError, ConfigurationError) as error:
        print(f"Not ready:\n{error}", file=out)
        return 1
    for endpoint in settings.listen:
        print(f"listen  {endpoint}", file=out)
    for tool in catalog:
        print(f"tool    {tool.name:24} {tool.origin}", file=out)
    print(f"Ready: {len(catalog)} tools.", file=out)
    return 0
