"""A group of commands that are loaded when they are used: the list of them, and the usage, are quick."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import ClassVar

import attrs
import click
from click.shell_completion import CompletionItem


@attrs.frozen
class Lazy:
    """A command: where it is, as `module:name`, and what it does, in a few words."""

    where: str
    what: str

    def load(self) -> click.Command:
        """The command itself."""
        module, _, name = self.where.partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command


class LazyGroup(click.Group):
    """The commands that there are.

    Attributes:
        lazy: The commands, by name, in the order in which they are listed.
    """

    lazy: ClassVar[Mapping[str, Lazy]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them."""
        found = self.lazy.get(cmd_name)
        return None if found is None else found.load()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.what) for name, command in self.lazy.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names that a word may become."""
        found = [CompletionItem(name, help=one.what) for name, one in self.lazy.items() if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]
