"""URI templates: from a URI back to its variables, one way or not at all."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from mcpserve.features.templates import LONGEST_URI, UriTemplate


@pytest.mark.parametrize(
    ("template", "uri", "variables"),
    [
        ("n://{id}", "n://7", {"id": "7"}),
        ("n://{id}", "n://a%20b%C3%A4", {"id": "a bä"}),
        ("n://{id}", "n://a bä", {"id": "a bä"}),
        ("n://{id}", "n://a:b@c,d;e=f&g", {"id": "a:b@c,d;e=f&g"}),
        ("n://{id}", "n://50%25", {"id": "50%"}),
        ("n://{id}/x", "n://7/x", {"id": "7"}),
        ("n://{a}/{b}", "n://1/2", {"a": "1", "b": "2"}),
        ("n://{a}.x/{b}", "n://1.x.x/2", {"a": "1.x", "b": "2"}),
        ("n://{a}:{b}", "n://1:2:3", {"a": "1", "b": "2:3"}),
        ("g:{lat,lon}", "g:1.5,-2", {"lat": "1.5", "lon": "-2"}),
        ("n://f-{a}.json", "n://f-x.json.json", {"a": "x.json"}),
        ("f://{+path}", "f://a/b/c.txt", {"path": "a/b/c.txt"}),
        ("f://{+path}", "f://a%2Fb?c", {"path": "a/b?c"}),
        ("f://{host}/{+path}", "f://h/a/b", {"host": "h", "path": "a/b"}),
        ("f://{+path}/{name}", "f://a/b/c", {"path": "a/b", "name": "c"}),
        ("f://{+path}:{line}", "f://a:b/c:7", {"path": "a:b/c", "line": "7"}),
        ("f://{h}/{+path}/x-{n}/end", "f://h/a/x-1/x-2/end", {"h": "h", "path": "a/x-1", "n": "2"}),
        ("l://h{/y,m}", "l://h/2026/08", {"y": "2026", "m": "08"}),
        ("s://n{?q}", "s://n?q=a%26b+c", {"q": "a&b+c"}),
        ("s://n{?q,r}", "s://n?r=2&q=1", {"q": "1", "r": "2"}),
        ("s://n{?q}", "s://n?q=", {"q": ""}),
        ("s://n{?q}", "s://n?q=../x", {"q": "../x"}),
        ("w://now?city={city}&u={u}", "w://now?city=Rome&u=c", {"city": "Rome", "u": "c"}),
    ],
)
def test_uris_of_a_template(template: str, uri: str, variables: dict[str, str]) -> None:
    """Their variables, decoded."""
    assert UriTemplate(template).match(uri) == variables


@pytest.mark.parametrize(
    ("template", "uri"),
    [
        ("n://{id}", "n://"),
        ("n://{id}", "n://a/b"),
        ("n://{id}", "n://a?b"),
        ("n://{id}", "n://a#b"),
        ("n://{id}", "m://a"),
        ("n://{id}", "n://a\n/b"),
        ("n://{id}", "n://%FF"),
        ("n://{a}/{b}", "n://1/"),
        ("n://{a}/{b}", "n://1/2/3"),
        ("n.m://{a}", "nxm://1"),
        ("s://n{?q}", "s://n"),
        ("s://n{?q}", "s://n?q=1&q=2"),
        ("s://n{?q}", "s://n?q=1&r=2"),
        ("s://n{?q}", "s://n?q=1&"),
        ("l://h{/y,m}", "l://h/2026"),
        ("f://{+path}{?q}", "f://a"),
        ("n://{id}", "n://" + "a" * LONGEST_URI),
    ],
)
def test_uris_of_others(template: str, uri: str) -> None:
    """What a template does not make, it does not match."""
    assert UriTemplate(template).match(uri) is None


@pytest.mark.parametrize("way", ["{}", "{}/x", "x/{}", "x/{}/y", "{}/"])
@pytest.mark.parametrize("dots", ["..", "%2e%2e", "%2E.", ".", "..%5c", "..\\", "%00", "x%5C..%5Cy", "x\0"])
def test_no_way_out(dots: str, way: str) -> None:
    """Nothing that a function gets leads out of a directory that it is put behind."""
    for template in ("f://{+path}", "f://{path}", "f://r/{+path}", "f://r/{path}/x", "f://r{/path}"):
        for prefix in ("f://", "f://r/"):
            assert UriTemplate(template).match(prefix + way.format(dots)) is None


@pytest.mark.parametrize("uri", ["f:///etc/passwd", "f://%2Fetc", "f://a//etc/..", "f://a%2F..%2F.."])
def test_no_absolute_path(uri: str) -> None:
    """A path that starts anew is none that goes on."""
    assert UriTemplate("f://{+path}").match(uri) is None


@pytest.mark.parametrize("uri", ["n://a%2Fb", "n://%2F", "n://a%5Cb"])
def test_one_segment_stays_one(uri: str) -> None:
    """An encoded slash does not smuggle in a second one."""
    assert UriTemplate("n://{id}").match(uri) is None


def test_what_may_be_missing() -> None:
    """Segments from the end, and members of a query; others are left out of the variables."""
    template = UriTemplate("l://h{/y,m}{?q}", optional={"y", "m", "q"})
    assert template.variables == ("y", "m", "q")
    assert template.match("l://h") == {}
    assert template.match("l://h/1") == {"y": "1"}
    assert template.match("l://h/1/2?q=3") == {"y": "1", "m": "2", "q": "3"}
    assert template.match("l://h?") == {}
    assert template.match("l://h/") is None
    assert UriTemplate("l://h{/y,m}", optional={"m"}).match("l://h/1") == {"y": "1"}
    assert UriTemplate("l://h/{a}{/m}", optional={"m"}).match("l://h/1") == {"a": "1"}


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{scheme}://x", "scheme"),
        ("no-scheme", "scheme"),
        ("n://{a}{b}", "where {a} ends and {b} begins"),
        ("n://{a}-{b}", "where {a} ends and {b} begins"),
        ("n://{a}.{b}", "where {a} ends and {b} begins"),
        ("n://{+a}{b}", "where {a} ends"),
        ("n://{+a}/{+b}", "two variables that take slashes"),
        ("n://{+a,b}", "two variables that take slashes"),
        ("n://{a}/{a}", "twice"),
        ("n://{a}{?a}", "twice"),
        ("n://{a*}", "modifier"),
        ("n://{a:3}", "modifier"),
        ("n://{#a}", "not served"),
        ("n://x{.a}", "not served"),
        ("n://x{;a}", "not served"),
        ("n://x{&a}", "not served"),
        ("n://{=a}", "not served"),
        ("n://{}", "no expression"),
        ("n://{a-b}", "no expression"),
        ("n://{a.b}", "no expression"),
        ("n://{1a}", "no expression"),
        ("n://{a", "'{' can't stand"),
        ("n://a}", "'}' can't stand"),
        ("n://a b/{c}", "' ' can't stand"),
        ("n://a#b", "fragment"),
        ("n://x{?a}/y", "the very end"),
        ("n://x{?a}{?b}", "the very end"),
        ("n://x?a=1{?b}", "two queries"),
    ],
)
def test_templates_without_a_single_way_back(template: str, words: str) -> None:
    """They are refused with a sentence that says what to write."""
    with pytest.raises(ValueError, match=r".") as caught:
        UriTemplate(template)
    assert words in str(caught.value)


@pytest.mark.parametrize("template", ["l://{/y}/x", "l://{/y}/{z}", "l://{+p}{/y}", "l://{+p}/x{/y}"])
def test_missing_segments_in_the_middle(template: str) -> None:
    """What may be missing stands at the end, and not behind what takes slashes."""
    with pytest.raises(ValueError, match="may be missing"):
        UriTemplate(template, optional={"y"})


# --- any template, any values

_NAMES = [f"v{letter}" for letter in string.ascii_lowercase]
_TEXTS = st.text(alphabet="ab.-_~/:,;=@!$'()*+%", max_size=4)
_VALUES = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)


@st.composite
def _templates(draw: st.DrawFn) -> tuple[UriTemplate, list[str]]:
    """A template that was accepted, and the names that may be missing in it."""
    names = iter(_NAMES)
    text = "s:" + draw(_TEXTS)
    for _ in range(draw(st.integers(0, 3))):
        text += "{" + draw(st.sampled_from(["", "+", "", "/"])) + next(names) + "}" + draw(_TEXTS)
    missing = [next(names) for _ in range(draw(st.integers(0, 2)))]
    text += "".join("{/" + name + "}" for name in missing)
    if draw(st.booleans()):
        query = [next(names), next(names)]
        text += "{?" + ",".join(query) + "}"
        missing += query
    try:
        return UriTemplate(text, missing), missing
    except ValueError:
        reject()


@given(data=st.data())
def test_a_uri_that_was_made_of_values_gives_them_back(data: Any) -> None:
    """For every template that is served and all values that it takes: so there is one way back only."""
    template, missing = data.draw(_templates())
    kept = missing[: data.draw(st.integers(0, len(missing)))]
    given = [name for name in template.variables if name not in missing or name in kept]
    values = {name: data.draw(_VALUES) for name in given}
    found = template.match(template.expand(values))
    assert found == values or (found is None and any(map(_leads_out, values.values())))


@given(data=st.data(), raw=st.text(alphabet="ab/:,;=?&%.#", max_size=12))
def test_what_matches_is_what_was_meant(data: Any, raw: str) -> None:
    """Whatever the URI: the values that are found make it again, but for how they are encoded."""
    template, _ = data.draw(_templates())
    uri = "s:" + raw
    found = template.match(uri)
    if found is not None:
        assert template.match(template.expand(found)) == found


def _leads_out(value: str) -> bool:
    """Whether a value may lead out of a directory, so that no template lets it pass."""
    return bool({"\\", "\0", "/"} & set(value)) or value in (".", "..")
