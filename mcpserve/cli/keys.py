"""`mcpserve keys`: make, list and revoke the API keys that let callers in."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from mcpserve.errors import ConfigurationError
from mcpserve.policy.keys import NAME, ApiKey, make_key
from mcpserve.policy.scopes import SCOPE
from mcpserve.service.keyfile import changing, read_keys, read_used, spelled
from mcpserve.service.settings import read_file

_SPAN = re.compile(r"([1-9][0-9]{0,5})([hdwy])")
_SECONDS = {"h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
_RELOAD = "A running server takes notice on SIGHUP (systemctl reload)."


def _of_file(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which file is meant."""
    file = click.option(
        "-f",
        "--file",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="MCPSERVE_KEYS",
        help="The file of keys. [$MCPSERVE_KEYS]",
    )
    config = click.option(
        "-c",
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The configuration file of the server, whose `keys` names the file.",
    )
    return file(config(command))


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@click.argument("name")
@click.option("-g", "--group", "groups", multiple=True, help="A group of the caller. Repeatable.")
@click.option("-s", "--scope", "scopes", multiple=True, help="A scope of the key. Repeatable.")
@click.option("-e", "--expires", help="When it stops to be good: 12h, 90d, 2w, 1y, or a date as in 2027-01-31.")
@click.option(
    "--again",
    is_flag=True,
    help="One more key for a NAME that has one: both are the same caller. It has the groups and scopes of the newest "
    "one there is, unless other ones are named.",
)
@_of_file
def add(
    name: str,
    groups: Sequence[str],
    scopes: Sequence[str],
    expires: str | None,
    again: bool,
    file: Path | None,
    config: Path | None,
) -> int:
    """Make a key for the caller NAME, and print it: this once, and never again."""
    _check(name, groups, scopes)
    now = time.time()
    ends = None if expires is None else read_expiry(expires, now)
    path = keys_file(file, config)
    with _explained(), changing(path) as kept:
        others = [key for key in kept if key.name == name]
        if others and not again:
            raise click.UsageError(f"{name} has a key already; --again makes one more for the same caller")
        if others:
            # who replaces a key wants another secret, and not other rights
            groups, scopes = groups or others[-1].groups, scopes or others[-1].scopes
        key, shown = make_key(name, now=now, groups=groups, scopes=scopes, expires=ends)
        kept.append(key)
    until = "for ever" if ends is None else f"until {spelled(ends)}"
    rights = "".join(
        f", {what} {', '.join(values)}" for what, values in (("groups", key.groups), ("scopes", key.scopes)) if values
    )
    click.echo(f"The key {key.id} of {name}{rights}, good {until}. It is not shown again. {_RELOAD}", err=True)
    click.echo(shown)
    return 0


@keys.command("list")
@_of_file
def list_keys(file: Path | None, config: Path | None) -> int:
    """List the keys: id, name, groups, scopes, when they expire, and when they were last used."""
    path = keys_file(file, config)
    with _explained():
        kept = read_keys(path)
    used, now = read_used(path), time.time()
    rows = [("ID", "NAME", "GROUPS", "SCOPES", "EXPIRES", "LAST USED"), *(_row(key, used, now) for key in kept)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


@keys.command()
@click.argument("name_or_id")
@_of_file
def revoke(name_or_id: str, file: Path | None, config: Path | None) -> int:
    """Revoke the key of this id, or all keys of the caller of this name."""
    path = keys_file(file, config)
    if not path.exists():
        raise click.UsageError(f"{path}: there is no such file")
    with _explained(), changing(path) as kept:
        gone = [key for key in kept if key.id == name_or_id] or [key for key in kept if key.name == name_or_id]
        if not gone:
            raise click.UsageError(f"{path}: there is no key of the name or id {name_or_id!r}")
        kept[:] = [key for key in kept if key not in gone]
    for key in gone:
        click.echo(f"revoked {key.id} of {key.name}")
    click.echo(_RELOAD, err=True)
    return 0


def keys_file(file: Path | None, config: Path | None) -> Path:
    """The file that is meant.

    Raises:
        click.UsageError: None is, or the configuration file names none.
    """
    if config is not None:
        with _explained():
            named = read_file(config).get("keys")
        if not named:
            raise click.UsageError(f'{config}: names no file of keys; add the line keys = "keys.json"')
        return Path(named)
    if file is None:
        raise click.UsageError("which file? --file FILE, or --config FILE with the configuration of the server")
    return file


def read_expiry(text: str, now: float) -> float:
    """Read when a key stops to be good; seconds since the epoch.

    Raises:
        click.UsageError: It is neither a span nor a date, or has passed.
    """
    span = _SPAN.fullmatch(text)
    try:
        ends = now + int(span[1]) * _SECONDS[span[2]] if span else _date(text)
        spelled(ends)
    except (ValueError, OverflowError):
        raise click.UsageError(f"--expires takes 12h, 90d, 2w, 1y, or a date as in 2027-01-31, not {text!r}") from None
    if ends <= now:
        raise click.UsageError(f"--expires {text} has passed already")
    return ends


def _date(text: str) -> float:
    date = datetime.fromisoformat(text)
    return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()


def _check(name: str, groups: Sequence[str], scopes: Sequence[str]) -> None:
    if not NAME.fullmatch(name):
        raise click.UsageError("NAME must be letters, digits and . _ @ + -, at most 64, such as ci-server")
    if not all(group.isprintable() and 0 < len(group) <= 128 for group in groups):
        raise click.UsageError("a group must be a text that can be printed, of at most 128 characters")
    if not all(map(SCOPE.fullmatch, scopes)):
        raise click.UsageError("a scope has no spaces, quotes or backslashes; --scope can be repeated")


def _row(key: ApiKey, used: dict[str, str], now: float) -> tuple[str, ...]:
    expires = "never" if key.expires is None else spelled(key.expires)
    return (
        key.id,
        key.name,
        ",".join(key.groups) or "-",
        " ".join(key.scopes) or "-",
        f"{expires} (expired)" if key.expired(now) else expires,
        used.get(key.id, "-"),
    )


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
