"""The rules of a configuration file: who may use what. See `access` for what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mcpserve.errors import ConfigurationError
from mcpserve.policy.access import KINDS, Access, Condition, Rule, condition, names, spelled
from mcpserve.policy.callers import ANONYMOUS, Caller


def read_access(table: Any) -> Access:
    """Read the table of rules of a configuration file.

    Args:
        table: `{"tools": {NAME: RULE}, "prompts": ..., "resources": ..., "list_step_up": false, "local": {}}`,
            where a rule is "everybody", "nobody", or a table with `groups`, `scopes` and `override`, and `local` has
            the `groups` and `scopes` of who starts the server over stdio.

    Raises:
        ConfigurationError: Something else is in it; the message has a line for each thing that is wrong.
    """
    known = (*KINDS, "list_step_up", "local")
    if not isinstance(table, Mapping):
        raise ConfigurationError('access must be a table, as in [access.tools] with "delete_*" = { groups = ["ops"] }')
    problems = [f"access has no {key!r}; it has: {', '.join(known)}" for key in table if key not in known]
    list_step_up = table.get("list_step_up", False)
    if not isinstance(list_step_up, bool):
        problems.append("access.list_step_up must be true or false")
    rules = {kind: _rules(kind, table.get(kind, {}), problems) for kind in KINDS}
    local = _local(table.get("local", {}), problems)
    if problems:
        raise ConfigurationError("\n".join(problems))
    return Access(**rules, list_step_up=list_step_up, local=local)


def _local(table: Any, problems: list[str]) -> Caller:
    if not isinstance(table, Mapping) or set(table) - {"groups", "scopes"}:
        problems.append("access.local must be a table with groups and scopes, and nothing else")
        return ANONYMOUS
    try:
        given = {what: names(what, value) for what, value in table.items()}
        return Caller(groups=given.get("groups", frozenset()), scopes=given.get("scopes", frozenset()))
    except ValueError as error:
        problems.append(f"access.local: {error}")
        return ANONYMOUS


def _rules(kind: str, table: Any, problems: list[str]) -> Sequence[Rule]:
    if not isinstance(table, Mapping):
        problems.append(f"access.{kind} must be a table of rules by name")
        return ()
    found: dict[str, Rule] = {}
    for name, value in table.items():
        try:
            rule = _rule(spelled(name) if kind == "resources" else name, value, f"access.{kind}.{name!r}")
        except ValueError as error:
            problems.append(f"access.{kind}.{name!r}: {error}")
            continue
        if rule.name in found:
            problems.append(f"access.{kind}.{name!r} stands there twice, in another spelling")
        found[rule.name] = rule
    return tuple(found.values())


def _rule(name: str, value: Any, source: str) -> Rule:
    if value == "everybody":
        return Rule(name=name, source=source, condition=None)
    if value == "nobody":
        return Rule(name=name, source=source, condition=Condition(source=source, groups=frozenset()))
    if not isinstance(value, Mapping):
        raise ValueError('a rule is "everybody", "nobody", or a table such as { groups = [\'ops\'] }')
    unknown = sorted(set(value) - {"groups", "scopes", "override"})
    if unknown:
        raise ValueError(f"a rule has no {unknown[0]!r}; it has: groups, scopes, override")
    override = value.get("override", False)
    if not isinstance(override, bool):
        raise ValueError("override must be true or false")
    groups = names("groups", value["groups"]) if "groups" in value else None
    scopes = names("scopes", value["scopes"]) if "scopes" in value else frozenset()
    if groups is None and not scopes and not override:
        raise ValueError('it asks for nothing; name groups or scopes, or write "everybody"')
    wanted = None if groups is None and not scopes else condition(source, groups, scopes)
    return Rule(name=name, source=source, condition=wanted, override=override)
