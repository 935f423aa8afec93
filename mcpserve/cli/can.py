"""`mcpserve can`: may this caller use that, and why."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs
import click

from mcpserve.errors import ConfigurationError, PluginError
from mcpserve.policy.access import Verdict
from mcpserve.policy.callers import ANONYMOUS, Caller
from mcpserve.policy.keys import ApiKey, KeyRing
from mcpserve.policy.scopes import read_inclusion
from mcpserve.server.permits import Permits
from mcpserve.service.keyfile import read_keys, spelled
from mcpserve.service.permissions import Thing, explain, find_things, told
from mcpserve.service.plugins import load
from mcpserve.service.settings import Settings, read_file

NOBODY = "-"
"""Who stands for a caller without a name."""

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("who")
@click.argument("thing")
@click.option("-c", "--config", type=_FILE, help="The configuration file of the server.")
@click.option("--kind", type=click.Choice(["tool", "prompt", "resource"]), help="What THING is, if there are several.")
@click.option(
    "-g", "--group", "groups", multiple=True, help="A group of WHO, instead of looking for a key. Repeatable."
)
@click.option("-s", "--scope", "scopes", multiple=True, help="A scope of WHO, likewise. Repeatable.")
def can(
    who: str, thing: str, config: Path | None, kind: str | None, groups: Sequence[str], scopes: Sequence[str]
) -> int:
    """Say whether WHO may use THING on a server of yours, and why.

    WHO is the name or the id of an API key, or - for somebody who shows no credential. With --group and --scope it is
    any name, for a caller with an access token that says so. THING is the name of a tool or a prompt, or a URI.

    The exit status is 0 if every caller that is meant may use it, else 1.
    """
    with _explained():
        settings = Settings(**({} if config is None else read_file(config)))
        asked = find_things(load(settings), thing, kind)
        callers = list(_callers(settings, who, groups, scopes))
    if not asked:
        raise click.UsageError(f"there is no {kind or 'tool, prompt or resource'} {thing!r} on this server")
    return _report(Permits(settings.access), callers, asked)


def _report(permits: Permits, callers: Sequence[_Asker], asked: Sequence[Thing]) -> int:
    status = 0
    for asker in callers:
        for thing in asked:
            decision = explain(permits, thing, asker.caller)
            for line in (*told(decision, thing, asker.label), *(f"  but {word}" for word in asker.but)):
                click.echo(line)
            if decision.verdict is not Verdict.ALLOWED or asker.but:
                status = 1
    return status


@attrs.frozen
class _Asker:
    """A caller that is meant: how it is called here, and what keeps it out before anything else does."""

    label: str
    caller: Caller
    but: Sequence[str] = ()


def _callers(settings: Settings, who: str, groups: Sequence[str], scopes: Sequence[str]) -> Iterator[_Asker]:
    inclusion = read_inclusion(settings.scope_includes)
    if groups or scopes:
        caller = Caller(name=who, groups=frozenset(groups), scopes=inclusion.expand(scopes))
        yield _Asker(who, caller, _too_narrow(settings, caller))
        return
    if who == NOBODY:
        asked = settings.keys or settings.issuers
        yield _Asker("somebody", ANONYMOUS, ["who shows no credential is not let in here"] if asked else ())
        return
    if not settings.keys:
        raise click.UsageError("this server has no API keys (keys); name --group and --scope of the caller instead")
    found = KeyRing(read_keys(Path(settings.keys)), inclusion).callers(who)
    if not found:
        raise click.UsageError(f"{settings.keys}: there is no key of the name or id {who!r}")
    for key, caller in found:
        yield _Asker(f"{key.name} (key {key.id})", caller, _expired(key))


def _too_narrow(settings: Settings, caller: Caller) -> Sequence[str]:
    missing = [scope for scope in settings.scopes if scope not in caller.scopes]
    return [f"a token without the scope {' '.join(missing)} (scopes) is not let in"] if missing else ()


def _expired(key: ApiKey) -> Sequence[str]:
    return [f"the key expired on {spelled(key.expires or 0)} and is not let in"] if key.expired(time.time()) else ()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (ConfigurationError, PluginError) as error:
        raise click.UsageError(str(error)) from error
