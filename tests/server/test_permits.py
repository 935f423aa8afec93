"""What callers may use of what is served, where the wire does not show it."""

from __future__ import annotations

from datetime import date
from enum import Enum
from typing import Any

import pytest

from mcpserve import PluginError, prompt, resource, tool
from mcpserve.errors import Refusal
from mcpserve.features.catalog import Catalog
from mcpserve.features.discovery import collect
from mcpserve.features.resource import Resource, build_resource
from mcpserve.policy.callers import Caller
from mcpserve.policy.rules import read_access
from mcpserve.protocol.revisions import V2025_11_25, V2026_07_28
from mcpserve.server.permits import MOST_VIEWS, Permits, Views, spellings

ANN = Caller(name="ann", groups=frozenset({"ops"}), scopes=frozenset({"read"}))


@tool
def echo() -> str:
    """Say it again."""
    return ""


@tool(groups=["ops"], scopes=["write"])
def reboot() -> str:
    """Reboot."""
    return ""


def paged_lightly(path: str) -> str:
    """Take a path."""
    return path


def caught(*args: Any) -> Refusal:
    """How a caller is refused."""
    with pytest.raises(Refusal) as refused:
        Permits().allows(*args)
    return refused.value


def test_a_challenge_depends_on_the_revision() -> None:
    """Before 2026-07-28 the scopes that the caller has are named as well."""
    (item,) = collect([reboot], "here").tools
    headers = [caught(item, ANN, revision).headers["WWW-Authenticate"] for revision in (V2026_07_28, V2025_11_25)]
    assert 'scope="write"' in headers[0]
    assert 'scope="write read"' in headers[1]


def test_names_in_a_challenge_are_bounded() -> None:
    """A URI may be long; a header may not."""
    permits = Permits(read_access({"resources": {"*": {"scopes": ["write"]}}}))
    (item,) = collect([resource("n://{path}")(paged_lightly)], "here").library.templates
    with pytest.raises(Refusal) as refused:
        permits.allows(item, ANN, V2026_07_28, "n://" + "x" * 4000)
    assert len(refused.value.headers["WWW-Authenticate"]) < 600


@pytest.mark.parametrize("decorator", [tool, prompt, lambda **options: resource("a://b", **options)])
@pytest.mark.parametrize("options", [{"groups": "ops"}, {"groups": []}, {"scopes": ["a b"]}, {"scopes": "read"}])
def test_what_can_not_be_declared(decorator: Any, options: Any) -> None:
    """The plugin is refused, with a sentence: it would protect nothing, or everything."""

    def thing() -> str:
        return "x"

    with pytest.raises(PluginError, match=r"must be a list of names|is no scope"):
        collect([decorator(**options)(thing)], "here")


# --- views


def views(rules: Any, *things: Any) -> tuple[Views[Any], Catalog[Any]]:
    """What callers see of some tools."""
    return Views(Permits(read_access(rules))), collect(things, "here").tools


def test_without_rules_there_is_one_view() -> None:
    """It is the catalogue itself, whoever asks."""
    seen, catalog = views({}, echo)
    assert seen.of(catalog, ANN) is seen.of(catalog, Caller()) is catalog


def test_who_sees_the_same_shares_it() -> None:
    """Also where groups and scopes differ that nobody asks for, or that make no difference."""
    seen, catalog = views({"tools": {"echo": {"groups": ["a", "b"]}}}, echo, reboot)
    callers = [Caller(name=str(n), groups=frozenset({"ab"[n % 2], f"g{n}"})) for n in range(10)]
    assert len({id(seen.of(catalog, caller)) for caller in callers}) == 1
    assert [item.name for item in seen.of(catalog, callers[0])] == ["echo"]
    assert not seen.of(catalog, callers[0]).shared


def test_the_whole_is_not_shared_where_others_see_less() -> None:
    """Who sees all of it sees what is not for everybody."""
    seen, catalog = views({}, echo, reboot)
    whole = seen.of(catalog, Caller(groups=frozenset({"ops"}), scopes=frozenset({"write"})))
    assert (len(whole), whole.shared) == (2, False)


def test_views_are_bounded() -> None:
    """However many sets of groups there are among the callers."""
    rules = {"tools": {f"t{n}": {"groups": [f"g{n}"]} for n in range(9)}}
    things = [tool(name=f"t{n}")(lambda: "") for n in range(9)]
    seen, catalog = views(rules, *things)
    for number in range(2**9):
        groups = frozenset(f"g{bit}" for bit in range(9) if number >> bit & 1)
        visible = {item.name for item in seen.of(catalog, Caller(name="x", groups=groups))}
        assert visible == {group.replace("g", "t") for group in groups}
        assert len(seen._seen) <= MOST_VIEWS
        assert len(seen._views) <= MOST_VIEWS


def test_another_catalogue() -> None:
    """What was known of the one before is forgotten."""
    seen, before = views({"tools": {"echo": "nobody"}}, echo, reboot)
    after = collect([echo], "here").tools
    assert [item.name for item in seen.of(before, ANN)] == []
    assert [item.name for item in seen.of(after, ANN)] == []
    assert seen.of(Catalog([]), ANN).shared


# --- spellings


class Size(Enum):
    """Sizes."""

    SMALL = "s"


def built(template: str, function: Any) -> Resource:
    """A template."""
    return build_resource(resource(template)(function), "here")


def of_values(number: float, big: bool, day: date, size: Size, words: list[str]) -> str:
    """Take values of all kinds."""
    return ""


def test_values_have_one_spelling() -> None:
    """What the function gets is written in one way, beside the way in which it was asked for."""
    template = built("v://{number}/{big}/{day}/{size}/{words}", of_values)
    uri = "v://5.00/true/2026-01-02/s/%5B%22a%22%5D"
    assert spellings(template, uri) == [
        'v://5.00/true/2026-01-02/s/["a"]',
        'v://5/true/2026-01-02/s/["a"]',
    ]


def paged(path: str, a: str = "", b: str = "") -> str:
    """Take a path and a query."""
    return ""


def test_the_order_in_a_query_does_not_matter() -> None:
    """It is that of the template."""
    template = built("q://{+path}{?a,b}", paged)
    assert spellings(template, "q://x/y?b=2&a=%31")[0] == spellings(template, "q://x/y?a=1&b=2")[0] == "q://x/y?a=1&b=2"


def test_a_question_mark_in_a_value_is_no_query() -> None:
    """It stays encoded, so that nobody takes a value for a query that a rule is about."""
    template = built("q://{+path}{?a,b}", paged)
    assert spellings(template, "q://x%3Fa=1")[0] == "q://x%3Fa=1"


def test_a_uri_of_no_template() -> None:
    """It is taken as it is."""
    assert spellings(built("q://{+path}{?a,b}", paged), "other://%61") == ["other://a"]


def dated(host: str, year: int = 2026, month: str = "01", words: tuple[str, ...] = ()) -> str:
    """Take what may be left out."""
    return ""


@pytest.mark.parametrize(
    "uri", ["log://h", "log://h/2026", "log://h/2026.0/01", "log://h/2026/%30%31?words=%5B%5D", "log://h?words="]
)
def test_a_default_is_said_or_left_out(uri: str) -> None:
    """It is the same to the function, so what a rule says of one holds for the other."""
    template = built("log://{host}{/year,month}{?words}", dated)
    assert {"log://h", "log://h/2026", "log://h/2026/01"} <= set(spellings(template, uri))


def test_what_is_left_out_is_left_out_from_the_end() -> None:
    """A month is never taken for a year; and nothing is left out that is no default."""
    template = built("log://{host}{/year,month}{?words}", dated)
    assert set(spellings(template, "log://h/2026/02")) == {"log://h/2026/02"}
    assert set(spellings(template, "log://h/2025")) == {"log://h/2025", "log://h/2025/01"}


def test_defaults_of_a_query() -> None:
    """Each of them, alone and together."""
    template = built("q://{+path}{?a,b}", paged)
    assert set(spellings(template, "q://x")) == {"q://x?a=&b=", "q://x?a=", "q://x?b=", "q://x"}
    assert set(spellings(template, "q://x?b=2")) == {"q://x?a=&b=2", "q://x?b=2"}
