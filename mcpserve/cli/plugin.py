"""`mcpserve new-plugin`: a plugin and its test, both of which work as they are written."""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path
from string import Template

import click

from mcpserve.cli.templates import CONFTEST, PLUGIN, TEST

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FILES = ((PLUGIN, "{name}.py"), (TEST, "tests/test_{name}.py"), (CONFTEST, "tests/conftest.py"))


@click.command("new-plugin")
@click.argument("name")
@click.option(
    "-d", "--directory", type=click.Path(file_okay=False, path_type=Path), default=Path("plugins"), help="[plugins]"
)
def new_plugin(name: str, directory: Path) -> int:
    """Write the plugin NAME and its test into a directory. Nothing that is there already is changed."""
    module = module_name(name)
    written = write(module, directory)
    for path in written:
        click.echo(f"wrote {path}")
    click.echo("\nNext:")
    click.echo(f"  python -m pytest {directory / 'tests' / f'test_{module}.py'}")
    click.echo(f"  twist --log-format=text mcpserve --plugins {directory}")
    click.echo(f"  mcpserve call http://127.0.0.1:8000/mcp {module} name=Ada times=3")
    return 0


def module_name(name: str) -> str:
    """The name of the module and of the tool.

    Raises:
        click.BadParameter: It can't be that.
    """
    module = name.removesuffix(".py").replace("-", "_")
    if not _NAME.fullmatch(module) or keyword.iskeyword(module):
        raise click.BadParameter(
            f"{name!r} can't be the name of a module: small letters, digits and _", param_hint="NAME"
        )
    if module in sys.stdlib_module_names or module in ("mcpserve", "conftest", "tests", "plugins"):
        raise click.BadParameter(f"there is a module {module} already that others import", param_hint="NAME")
    return module


def write(module: str, directory: Path) -> list[Path]:
    """Write the files, and say which.

    Raises:
        click.UsageError: One is there already, or can't be written.
    """
    paths = [(template, directory / place.format(name=module)) for template, place in _FILES]
    standing = [path for _, path in paths[:2] if path.exists()]
    if standing:
        raise click.UsageError(f"{standing[0]} is there already, and is left as it is")
    new = [(template, path) for template, path in paths if not path.exists()]
    try:
        for template, path in new:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_filled(template, module), encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"can't write there: {error}") from error
    return [path for _, path in new]


def _filled(template: str, module: str) -> str:
    title = module.replace("_", " ").strip().capitalize()
    return Template(template).substitute(name=module, title=title)
