"""The rules of who may use what beside what is served: whether they name what there is, and what they mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from mcpserve.errors import ConfigurationError
from mcpserve.features.catalog import Catalogs
from mcpserve.features.discovery import Found
from mcpserve.features.prompt import Prompt
from mcpserve.features.resource import Resource
from mcpserve.features.tool import Tool
from mcpserve.policy.access import KINDS, Access, Decision, Rule, Verdict, spelled
from mcpserve.policy.callers import Caller
from mcpserve.server.permits import Permits


@attrs.frozen(kw_only=True)
class Thing:
    """Something that is asked for.

    Args:
        kind: "tool", "prompt" or "resource".
        name: As it was asked for: a name, a URI, or the text of a template.
        item: What serves it.
        uri: The URI, if it is one of a template.
    """

    kind: str
    name: str
    item: Tool | Prompt | Resource
    uri: str | None = None


def check_rules(access: Access, found: Found) -> None:
    """Find out whether the rules name what there is: one that names nothing protects nothing.

    Args:
        access: The rules.
        found: All that there is, whether it is served or not.

    Raises:
        ConfigurationError: A rule matches nothing; the message has a line for each, with what there is.
    """
    problems = []
    for kind in KINDS:
        items: Sequence[Tool | Prompt | Resource] = getattr(found, kind)
        for rule in access.rules(kind):
            if not any(_may_match(rule, item) for item in items):
                known = ", ".join(sorted(item.name for item in items)) or "none"
                problems.append(f"access.{kind}.{rule.name!r}: nothing is named so; there are: {known}")
    if problems:
        raise ConfigurationError("\n".join(problems))


def find_things(catalogs: Catalogs, name: str, kind: str | None = None) -> Sequence[Thing]:
    """Find what is served by a name.

    Args:
        catalogs: What is served.
        name: The name of a tool or a prompt, a URI, or the text of a template.
        kind: One of the kinds; without it all are looked at.
    """
    return [thing for thing in _things(catalogs, name) if kind in (None, thing.kind)]


def explain(permits: Permits, thing: Thing, caller: Caller) -> Decision:
    """The decision that the server makes, and why."""
    return permits.decide(thing.item, caller, thing.uri)


def told(decision: Decision, thing: Thing, who: str) -> Iterator[str]:
    """An explanation for people, line by line."""
    what = f"the {thing.kind} {thing.name}"
    if decision.verdict is Verdict.ALLOWED:
        yield f"{who} may use {what}"
    elif decision.verdict is Verdict.UNKNOWN:
        yield f"{who} may not use {what}: it is not listed, and answered as one that does not exist"
    else:
        scopes = " ".join(sorted(decision.scopes))
        yield f"{who} may not use {what} yet: the answer is 403 insufficient_scope, asking for {scopes}"
    yield from (f"  {reason}" for reason in decision.reasons)


def _things(catalogs: Catalogs, name: str) -> Iterator[Thing]:
    tool, prompt = catalogs.tools.get(name), catalogs.prompts.get(name)
    if tool is not None:
        yield Thing(kind="tool", name=name, item=tool)
    if prompt is not None:
        yield Thing(kind="prompt", name=name, item=prompt)
    template, found = catalogs.library.templates.get(name), catalogs.library.find(name)
    if template is not None:
        yield Thing(kind="resource", name=name, item=template)
    elif found is not None:
        yield Thing(kind="resource", name=name, item=found[0], uri=name)


def _may_match(rule: Rule, item: Tool | Prompt | Resource) -> bool:
    if not isinstance(item, Resource):
        return rule.matches(item.name)
    text = spelled(item.name)
    if rule.matches(text) or not item.template.variables:
        return rule.matches(text)
    # what a template makes of its variables is not known, but what stands in front of them
    rule_start, template_start = rule.name.partition("*")[0], text.partition("{")[0]
    return rule_start.startswith(template_start) or ("*" in rule.name and template_start.startswith(rule_start))
