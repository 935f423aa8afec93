"""Who may use what: which rules apply, what they make of a caller, and how it is explained."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.errors import ConfigurationError
from mcpserve.policy.access import Access, Rule, Verdict, declared, spelled, verdict
from mcpserve.policy.callers import Caller
from mcpserve.policy.rules import read_access

NAMES = st.text("ab_", max_size=8)
PATTERNS = st.text("ab_*", max_size=6)
GROUPS = st.frozensets(st.sampled_from(["ops", "hr", "it"]))
SCOPES = st.frozensets(st.sampled_from(["read", "write"]))
CALLERS = st.builds(Caller, name=st.none() | st.just("ann"), groups=GROUPS, scopes=SCOPES)
RULES = st.dictionaries(
    PATTERNS,
    st.just("everybody")
    | st.just("nobody")
    | st.fixed_dictionaries({"groups": st.lists(st.sampled_from(["ops", "hr"]), min_size=1)})
    | st.fixed_dictionaries({"scopes": st.lists(st.sampled_from(["read", "write"]), min_size=1)}),
    max_size=5,
)


def rule(name: str) -> Rule:
    """A rule that asks for nothing."""
    return Rule(name=name, source="", condition=None)


def judged(table: dict[str, Any], name: str, caller: Caller, own: Any = None, kind: str = "tools") -> Verdict:
    """What becomes of a request, by the rules for tools."""
    return verdict(read_access({kind: table}).conditions(kind, [name], own), caller)


def caller(*groups: str, scopes: Sequence[str] = (), name: str | None = "ann") -> Caller:
    """Somebody in these groups."""
    return Caller(name=name, groups=frozenset(groups), scopes=frozenset(scopes))


# --- which names are meant


@given(PATTERNS, NAMES)
def test_a_star_is_any_run_of_characters(pattern: str, name: str) -> None:
    """It matches what the regular expression does, which is slower."""
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert rule(pattern).matches(name) == bool(re.fullmatch(expression, name, re.DOTALL))


@given(PATTERNS, PATTERNS, NAMES)
def test_a_wider_rule_matches_all_that_the_narrower_does(wide: str, narrow: str, name: str) -> None:
    """And no two rules are each wider than the other."""
    if rule(wide).wider_than(rule(narrow)):
        assert rule(wide).matches(name) or not rule(narrow).matches(name)
        assert not rule(narrow).wider_than(rule(wide))


def test_many_stars_are_no_burden() -> None:
    """A name that almost matches takes no longer than any other."""
    assert not rule("*a" * 200 + "*b").matches("a" * 100_000)


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("docs://%68r/pay", "docs://hr/pay"),
        ("docs://hr%2Fpay", "docs://hr/pay"),
        ("docs://z%C3%BCrich", "docs://zürich"),
        ("docs://a%3fb%23c%25d", "docs://a%3Fb%23c%25d"),
        ("docs://a%2568r", "docs://a%2568r"),
    ],
)
def test_one_spelling(written: str, plain: str) -> None:
    """A URI has one, so that no other one slips past its rules; and what is spelled so already stays."""
    assert spelled(written) == plain == spelled(plain)


# --- which rules apply


@given(RULES, NAMES, CALLERS)
def test_an_order_of_rules_does_not_matter(table: dict[str, Any], name: str, who: Caller) -> None:
    """Backwards they say the same."""
    assert judged(table, name, who) == judged(dict(reversed(table.items())), name, who)


@given(RULES, NAMES, CALLERS)
def test_whatever_matches_something_applies(table: dict[str, Any], name: str, who: Caller) -> None:
    """Who is let in meets at least one of the rules that match, if any does."""
    matching = {key: value for key, value in table.items() if rule(key).matches(name)}
    if matching and judged(table, name, who) is Verdict.ALLOWED:
        assert any(judged({key: value}, name, who) is Verdict.ALLOWED for key, value in matching.items())


def test_no_rule() -> None:
    """What nothing is said of may be used by everybody."""
    assert judged({}, "add", Caller()) is Verdict.ALLOWED
    assert judged({"b*": "nobody"}, "add", Caller()) is Verdict.ALLOWED


def test_a_narrower_rule_puts_a_wider_one_aside() -> None:
    """So that all can be closed, and some of it opened."""
    table = {"*": {"groups": ["staff"]}, "delete_*": {"groups": ["ops"]}, "echo": "everybody"}
    assert judged(table, "echo", caller()) is Verdict.ALLOWED
    assert judged(table, "add", caller()) is Verdict.UNKNOWN
    assert judged(table, "add", caller("staff")) is Verdict.ALLOWED
    assert judged(table, "delete_all", caller("staff")) is Verdict.UNKNOWN
    assert judged(table, "delete_all", caller("ops")) is Verdict.ALLOWED


def test_rules_that_overlap_both_hold() -> None:
    """Neither is narrower than the other: safety first."""
    table = {"delete_*": {"groups": ["ops"]}, "*_user": {"groups": ["hr"]}}
    assert judged(table, "delete_user", caller("ops")) is Verdict.UNKNOWN
    assert judged(table, "delete_user", caller("hr")) is Verdict.UNKNOWN
    assert judged(table, "delete_user", caller("ops", "hr")) is Verdict.ALLOWED


def test_two_spellings_of_one_pattern() -> None:
    """Rules that mean the same names do not put each other aside until none is left."""
    table = {"a*": {"groups": ["ops"]}, "a**": {"groups": ["hr"]}}
    assert judged(table, "add", caller("ops")) is Verdict.UNKNOWN
    assert judged(table, "add", caller("ops", "hr")) is Verdict.ALLOWED


def test_what_a_plugin_declares_holds_too() -> None:
    """A rule is added to it, unless it says that it takes its place."""
    own = declared(["ops"], ())
    assert judged({}, "add", caller(), own) is Verdict.UNKNOWN
    assert judged({"add": "everybody"}, "add", caller(), own) is Verdict.UNKNOWN
    assert judged({"add": {"groups": ["hr"]}}, "add", caller("hr"), own) is Verdict.UNKNOWN
    assert judged({"add": {"groups": ["hr"]}}, "add", caller("hr", "ops"), own) is Verdict.ALLOWED
    assert judged({"add": {"groups": ["hr"], "override": True}}, "add", caller("hr"), own) is Verdict.ALLOWED
    assert judged({"add": {"override": True}}, "add", caller(), own) is Verdict.ALLOWED


def test_a_rule_that_is_set_aside_overrides_nothing() -> None:
    """Only one that counts takes the place of what a plugin declares."""
    table = {"*": {"override": True}, "add": "everybody"}
    assert judged(table, "add", caller(), declared(["ops"], ())) is Verdict.UNKNOWN


def test_things_with_several_names() -> None:
    """The rules for all of them hold."""
    access = read_access({"resources": {"n://{day}": {"groups": ["a"]}, "n://monday": {"groups": ["b"]}}})
    conditions = access.conditions("resources", ["n://{day}", "n://monday"])
    assert verdict(conditions, caller("a")) is Verdict.UNKNOWN
    assert verdict(conditions, caller("a", "b")) is Verdict.ALLOWED
    assert access.conditions("tools", ["n://monday"]) == ()


# --- what they make of a caller


def test_one_group_is_enough_and_all_scopes_are_needed() -> None:
    """Groups say who may, scopes what a credential allows."""
    table = {"add": {"groups": ["ops", "it"], "scopes": ["read", "write"]}}
    assert judged(table, "add", caller("it", scopes=["read", "write", "more"])) is Verdict.ALLOWED
    assert judged(table, "add", caller("it", scopes=["read"])) is Verdict.STEP_UP
    assert judged(table, "add", caller(scopes=["read", "write"])) is Verdict.UNKNOWN


def test_only_who_lacks_scopes_alone_is_told() -> None:
    """Who lacks a group as well hears nothing, and neither does who has shown no credential."""
    table = {"*d": {"scopes": ["write"]}, "a*": {"groups": ["ops"]}}
    assert judged(table, "add", caller()) is Verdict.UNKNOWN
    assert judged(table, "add", caller("ops")) is Verdict.STEP_UP
    assert judged(table, "add", caller("ops", name=None)) is Verdict.UNKNOWN


def test_nobody() -> None:
    """Neither a group nor a scope helps."""
    assert judged({"add": "nobody"}, "add", caller("nobody", "ops", scopes=["nobody"])) is Verdict.UNKNOWN


@given(RULES, NAMES, CALLERS)
def test_an_explanation_is_of_the_decision(table: dict[str, Any], name: str, who: Caller) -> None:
    """It is the verdict that counts, with a reason for each rule that matches; something is lacking iff it is no."""
    access = read_access({"tools": table})
    decision = access.decide("tools", [name], None, who)
    assert decision.verdict is verdict(access.conditions("tools", [name]), who)
    matching = sum(rule(key).matches(name) for key in table)
    assert len(decision.reasons) == max(1, matching)
    lacking = any("lacks" in reason or reason.endswith("is for nobody") for reason in decision.reasons)
    assert lacking == (decision.verdict is not Verdict.ALLOWED)


def test_an_explanation() -> None:
    """It says whose word it is, what is wanted, what is missing, and what does not count."""
    access = read_access(
        {"tools": {"*": "nobody", "a*": {"groups": ["ops", "it"], "scopes": ["read", "write"], "override": True}}}
    )
    decision = access.decide("tools", ["add"], declared(["hr"], ["x"]), caller("it", scopes=["read"]))
    assert list(decision.reasons) == [
        "access.tools.'a*' wants the group it or ops (has it) and the scopes read write (lacks write)",
        "its plugin wants the group hr (lacks it) and the scopes x (lacks x); access.tools.'a*' overrides that",
        "access.tools.'*' does not count, as access.tools.'a*' is narrower",
    ]
    assert decision.scopes == {"read", "write"}


# --- how they are written


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ([], "access must be a table"),
        ({"tool": {}}, "access has no 'tool'; it has: tools, prompts, resources, list_step_up, local"),
        ({"tools": []}, "access.tools must be a table of rules by name"),
        ({"tools": {"a": "anybody"}}, 'access.tools.\'a\': a rule is "everybody", "nobody", or a table'),
        ({"tools": {"a": {}}}, "access.tools.'a': it asks for nothing"),
        ({"tools": {"a": {"override": False}}}, "it asks for nothing"),
        ({"tools": {"a": {"group": ["x"]}}}, "a rule has no 'group'; it has: groups, scopes, override"),
        ({"tools": {"a": {"groups": []}}}, "groups must be a list of names, with one at least"),
        ({"tools": {"a": {"groups": "ops"}}}, "groups must be a list of names"),
        ({"tools": {"a": {"groups": [1]}}}, "groups must be a list of names"),
        ({"tools": {"a": {"groups": [""]}}}, "groups must be a list of names"),
        ({"tools": {"a": {"scopes": []}}}, "scopes must be a list of names"),
        ({"tools": {"a": {"scopes": ["a b"]}}}, "'a b' is no scope"),
        ({"tools": {"a": {"scopes": ['a"']}}}, "is no scope"),
        ({"tools": {"a": {"groups": ["x"], "override": 1}}}, "override must be true or false"),
        ({"resources": {"n://a b": "nobody", "n://a%20b": "nobody"}}, "stands there twice, in another spelling"),
        ({"list_step_up": 1}, "access.list_step_up must be true or false"),
        ({"local": {"name": "x"}}, "access.local must be a table with groups and scopes"),
        ({"local": {"groups": "x"}}, "access.local: groups must be a list of names"),
    ],
)
def test_rules_that_are_none(table: Any, words: str) -> None:
    """What could mean two things is refused, with what would be right."""
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        read_access(table)


def test_all_that_is_wrong_is_said_at_once() -> None:
    """One line for each."""
    with pytest.raises(ConfigurationError) as caught:
        read_access({"tools": {"a": 1, "b": 2}, "prompts": 3, "x": 4})
    assert len(str(caught.value).split("\n")) == 4


def test_rules_that_are_read() -> None:
    """Patterns of resources are compared in one spelling; scopes are known; stdio has a standing of its own."""
    access = read_access(
        {
            "resources": {"docs://%68r/*": {"scopes": ["read"]}},
            "prompts": {"p": {"scopes": ["write"]}},
            "list_step_up": True,
            "local": {"groups": ["ops"], "scopes": ["read"]},
        }
    )
    assert [rule.name for rule in access.resources] == ["docs://hr/*"]
    assert (access.scopes, access.list_step_up) == ({"read", "write"}, True)
    assert access.local == Caller(groups=frozenset({"ops"}), scopes=frozenset({"read"}))
    assert read_access({}) == Access()


@pytest.mark.parametrize(
    ("groups", "scopes"), [("ops", ()), ([], ()), ([1], ()), (None, "read"), (None, ["a b"]), (None, [""]), (5, ())]
)
def test_what_a_plugin_can_not_declare(groups: Any, scopes: Any) -> None:
    """A text is no list of names; an empty list could mean anything."""
    with pytest.raises(ValueError, match=r"must be a list of names|is no scope"):
        declared(groups, scopes)


def test_a_plugin_that_declares_nothing() -> None:
    """There is nothing to be met then."""
    assert declared(None, ()) is None
