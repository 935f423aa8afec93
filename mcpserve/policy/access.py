"""What a caller may use: the decision, and why it is what it is.

Who runs the server writes rules, by the name of a tool or a prompt, or the URI of a resource; `*` stands for any run of
characters. Who wrote the plugin may have declared what a caller needs, too.

    rule                        who meets it
    "everybody"                 everybody
    "nobody"                    nobody
    groups = ["ops", "it"]      who is in one of these groups
    scopes = ["a", "b"]         whose credential has all of these scopes
    groups and scopes           who meets both

    what applies to a thing     every rule that its name matches, but for one that is wider than another of these
                                ("delete_*" puts "*" aside; "delete_*" and "*_user" both hold for delete_user);
                                and what its plugin declared, unless one of these rules says override = true
    nothing applies             everybody may use it

A rule more than was meant to apply can only take away. There is no order of rules to get wrong.

    what is missing             what the caller sees
    nothing                     the thing
    a group                     nothing: the thing is as unknown as one that never was
    scopes, and nothing else    403 insufficient_scope with all scopes that it takes (a step-up), if it has a name;
                                in lists nothing, unless `list_step_up` says otherwise

Spec: 2026-07-28, Authorization, Scope Challenge Handling.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any
from urllib.parse import unquote

import attrs

from mcpserve.policy.callers import ANONYMOUS, Caller
from mcpserve.policy.scopes import SCOPE

KINDS: Mapping[str, str] = {"tools": "tool", "prompts": "prompt", "resources": "resource"}
"""What there are rules for, and what one of it is called."""

_KEPT = re.compile(r"%(25|3f|23)", re.IGNORECASE)


@attrs.frozen(kw_only=True)
class Condition:
    """What a caller must have.

    Args:
        source: Whose word it is, for people.
        groups: One of these. None when it does not matter; nobody is in one of no groups.
        scopes: All of these.
    """

    source: str
    groups: frozenset[str] | None = None
    scopes: frozenset[str] = frozenset()

    def has_group(self, caller: Caller) -> bool:
        """Tell whether the caller's groups are enough."""
        return self.groups is None or not self.groups.isdisjoint(caller.groups)

    def has_scopes(self, caller: Caller) -> bool:
        """Tell whether the caller's scopes are enough."""
        return self.scopes <= caller.scopes


Conditions = tuple[Condition, ...]
"""All of them must be met."""


class Verdict(Enum):
    """What becomes of a request for a thing."""

    ALLOWED = "allowed"
    UNKNOWN = "as if it did not exist"
    STEP_UP = "403 insufficient_scope"


@attrs.frozen(kw_only=True)
class Decision:
    """A verdict, and why.

    Args:
        verdict: What becomes of it.
        reasons: A sentence for each rule and each wish of a plugin, whether it counts and is met or not.
        scopes: All scopes that the thing takes.
    """

    verdict: Verdict
    reasons: Sequence[str]
    scopes: frozenset[str]


def verdict(conditions: Conditions, caller: Caller) -> Verdict:
    """Decide. The one place where it is decided; everything else asks here."""
    missing = False
    for condition in conditions:
        if not condition.has_group(caller):
            return Verdict.UNKNOWN
        missing = missing or not condition.has_scopes(caller)
    if not missing:
        return Verdict.ALLOWED
    # somebody without a name has shown no credential that could be widened
    return Verdict.UNKNOWN if caller.name is None else Verdict.STEP_UP


def required(conditions: Conditions) -> frozenset[str]:
    """All scopes that these conditions ask for.

    Spec: "servers SHOULD include all scopes required for the current operation in a single challenge."
    """
    return frozenset().union(*(condition.scopes for condition in conditions))


def declared(groups: Iterable[str] | None, scopes: Iterable[str]) -> Condition | None:
    """What the author of a plugin wants callers to have; None when it is nothing.

    Args:
        groups: One of these, or None when it does not matter.
        scopes: All of these.

    Raises:
        ValueError: They are no lists of names; the sentence says what they should be.
    """
    if groups is None and scopes == ():
        return None
    return condition("its plugin", None if groups is None else names("groups", groups), names("scopes", scopes, ()))


@attrs.frozen(kw_only=True)
class Rule:
    """What who runs the server wants of callers who use things of some name.

    Args:
        name: The name, with `*` for any run of characters.
        source: Where it stands, for people.
        condition: What a caller must have; None when it is nothing.
        override: What plugins declared does not count.
    """

    name: str
    source: str
    condition: Condition | None
    override: bool = False

    def matches(self, name: str) -> bool:
        """Tell whether a name is one of those that are meant.

        Piece by piece from the left, so that no name makes it slow, whatever it is and however many stars there are.
        """
        first, *rest = self.name.split("*")
        if not rest:
            return name == first
        *middle, last = rest
        if not name.startswith(first) or not name.endswith(last) or len(name) < len(first) + len(last):
            return False
        at, end = len(first), len(name) - len(last)
        for piece in middle:
            at = name.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True

    def wider_than(self, other: Rule) -> bool:
        """Tell whether all that the other matches, and more, is matched: a star is only matched by a star."""
        return self.matches(other.name) and not other.matches(self.name)


@attrs.frozen(kw_only=True)
class Access:
    """The rules of one server.

    Args:
        tools: For tools, by name.
        prompts: For prompts, and the completion of their arguments, by name.
        resources: For resources by URI, and templates by their text, as `spelled` writes them.
        list_step_up: What only lacks scopes is listed, so that a client that acts for a user can ask for them.
        local: As whom the one counts who starts the server over stdio.
    """

    tools: Sequence[Rule] = ()
    prompts: Sequence[Rule] = ()
    resources: Sequence[Rule] = ()
    list_step_up: bool = False
    local: Caller = ANONYMOUS

    def rules(self, kind: str) -> Sequence[Rule]:
        """The rules of one of `KINDS`."""
        rules: Sequence[Rule] = getattr(self, kind)
        return rules

    def conditions(self, kind: str, names: Sequence[str], own: Condition | None = None) -> Conditions:
        """What a caller needs who wants to use a thing.

        Args:
            kind: One of `KINDS`.
            names: What it is called; a URI and the template that it comes from are two names of one thing.
            own: What its plugin declared.
        """
        applying = self._applying(kind, names)
        conditions = [rule.condition for rule in applying if rule.condition is not None]
        if own is not None and not any(rule.override for rule in applying):
            conditions.append(own)
        return tuple(conditions)

    def decide(self, kind: str, names: Sequence[str], own: Condition | None, caller: Caller) -> Decision:
        """Decide, and say why; arguments as of `conditions`."""
        conditions, applying = self.conditions(kind, names, own), self._applying(kind, names)
        reasons = [_reason(rule.source, rule.condition, caller) for rule in applying]
        if own is not None:
            overriding = "".join(f"; {rule.source} overrides that" for rule in applying if rule.override)
            reasons.append(_reason(own.source, own, caller) + overriding)
        for rule in self._matching(kind, names):
            narrower = [other.source for other in applying if rule.wider_than(other)]
            if narrower:
                reasons.append(f"{rule.source} does not count, as {narrower[0]} is narrower")
        reasons = reasons or ["no rule applies, and its plugin asks for nothing: everybody may use it"]
        return Decision(verdict=verdict(conditions, caller), reasons=reasons, scopes=required(conditions))

    def _matching(self, kind: str, names: Sequence[str]) -> Sequence[Rule]:
        return [rule for rule in self.rules(kind) if any(map(rule.matches, names))]

    def _applying(self, kind: str, names: Sequence[str]) -> Sequence[Rule]:
        matching = self._matching(kind, names)
        return [rule for rule in matching if not any(map(rule.wider_than, matching))]

    @property
    def scopes(self) -> frozenset[str]:
        """All scopes that the rules name."""
        rules = [rule for kind in KINDS for rule in self.rules(kind)]
        return frozenset().union(*(rule.condition.scopes for rule in rules if rule.condition is not None))


def spelled(uri: str) -> str:
    """A URI in the one spelling that rules are compared with: nothing is percent-encoded but `%`, `?` and `#`.

    Else `docs://%68r/pay` would be another name of `docs://hr/pay`, without its rules.
    """
    return unquote(_KEPT.sub(lambda match: "%25" + match[1].upper(), uri))


def condition(source: str, groups: frozenset[str] | None, scopes: frozenset[str]) -> Condition:
    """Make a condition.

    Raises:
        ValueError: A scope is none.
    """
    for scope in sorted(scopes):
        if not SCOPE.fullmatch(scope):
            raise ValueError(f"{scope!r} is no scope: it has visible ASCII characters, but no quotes and no backslash")
    return Condition(source=source, groups=groups, scopes=scopes)


def names(what: str, value: Any, nothing: Any = None) -> frozenset[str]:
    """A list of names. An empty one could mean everybody and nobody, so it is refused.

    Raises:
        ValueError: It is something else.
    """
    if nothing is not None and value == nothing:
        return frozenset()
    listed = list(value) if isinstance(value, list | tuple | set | frozenset) else []
    if not listed or not all(isinstance(name, str) and name for name in listed):
        raise ValueError(f"{what} must be a list of names, with one at least")
    return frozenset(listed)


def _reason(source: str, condition: Condition | None, caller: Caller) -> str:
    if condition is None:
        return f"{source} asks for nothing"
    if condition.groups is not None and not condition.groups:
        return f"{source} is for nobody"
    wanted = []
    if condition.groups:
        has = "has" if condition.has_group(caller) else "lacks"
        names = " or ".join(sorted(condition.groups))
        wanted.append(f"the group {names} ({has} it)")
    if condition.scopes:
        missing = sorted(condition.scopes - caller.scopes)
        has = f"lacks {' '.join(missing)}" if missing else "has them"
        wanted.append(f"the scopes {' '.join(sorted(condition.scopes))} ({has})")
    return f"{source} wants {' and '.join(wanted)}"
