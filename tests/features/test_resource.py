"""Resources and templates: what is read from a function, which URIs are theirs, and which contents a value makes."""

from __future__ import annotations

from datetime import date
from typing import Any

import attrs
import orjson
import pytest

from mcpserve import Annotations, Call, Contents, Icon, PluginError, Stream, resource
from mcpserve.features.resource import Resource, build_resource, to_contents


def built(function: Any) -> Resource:
    """The resource of a marked function."""
    return build_resource(function, "here.py")


@resource("notes://today", mime_type="text/markdown")
def today() -> str:
    """What is to be done today."""
    return "# Nothing"


@resource("notes://{day}{?lines}")
def note(day: date, lines: int = 10) -> str:
    """The note of a day."""
    return f"{day} {lines}"


def test_a_definition() -> None:
    """Name, title and description come from the function."""
    definition = built(today).definition
    assert (definition.uri, definition.name, definition.title) == ("notes://today", "today", "Today")
    assert definition.description == "What is to be done today."
    assert definition.mime_type == "text/markdown"
    assert today() == "# Nothing"


def test_options() -> None:
    """What the decorator says counts more; annotations, icons, size and meta are passed on."""
    icon, annotations = Icon(src="https://example.com/i.png"), Annotations(audience=["user"], priority=0.5)

    @resource(
        "a://b",
        name="n",
        title="T",
        description="D",
        icons=[icon],
        annotations=annotations,
        size=7,
        meta={"k": 1},
        ttl=1.5,
        cache_scope="public",
        thread=True,
    )
    def f() -> str:
        """Not this."""
        return ""

    found = built(f)
    definition = found.definition
    assert (definition.name, definition.title, definition.description) == ("n", "T", "D")
    assert (definition.icons, definition.annotations, definition.size) == ([icon], annotations, 7)
    assert (definition.meta, found.options.ttl, found.options.cache_scope) == ({"k": 1}, 1.5, "public")
    assert not found.plain


def test_the_uris_of_a_template() -> None:
    """Variables become what the hints say; what does not fit is the URI of something else."""
    found = built(note)
    assert found.match("notes://2026-07-28") == {"day": date(2026, 7, 28)}
    assert found.match("notes://2026-07-28?lines=3") == {"day": date(2026, 7, 28), "lines": 3}
    for uri in ("notes://today", "notes://2026-02-30", "notes://2026-07-28?lines=x", "other://2026-07-28"):
        assert found.match(uri) is None


@pytest.mark.parametrize(
    ("uri", "function", "options", "words"),
    [
        ("today", lambda: "", {}, "begins with its scheme"),
        ("a://b c", lambda: "", {}, "can't stand in a URI"),
        ("a://{x}", lambda: "", {}, "the template has {x}, but no parameter takes it"),
        ("a://b", note, {}, "nothing fills the parameter 'day'"),
        ("a://{day}", note, {}, "nothing fills the parameter 'lines'"),
        ("a://{x*}", lambda: "", {}, "modifier"),
        ("a://b", lambda: "", {"ttl": -1}, "ttl is a number of seconds"),
        ("a://b", lambda: "", {"ttl": True}, "ttl is a number of seconds"),
        ("a://b", lambda: "", {"cache_scope": "all"}, "cache_scope is"),
        ("a://b", lambda: "", {"annotations": {}}, "annotations is"),
        ("a://b", lambda: "", {"meta": {"k": object()}}, "can't be written as JSON"),
        ("a://b", lambda: "", {"size": object()}, "can't be written as JSON"),
        ("a://b", lambda: "", {"timeout": -1}, "timeout is"),
    ],
)
def test_what_is_no_resource(uri: str, function: Any, options: dict[str, Any], words: str) -> None:
    """It is refused when it is loaded; the sentence names the file and the URI."""
    with pytest.raises(PluginError) as caught:
        built(resource(uri, **options)(attrs_free(function)))
    assert str(caught.value).startswith(f"here.py: resource {uri!r}: ")
    assert words in str(caught.value)


def attrs_free(function: Any) -> Any:
    """A function of the same parameters that has no mark yet."""

    def copy(*args: Any, **more: Any) -> Any:
        return function(*args, **more)

    copy.__wrapped__ = function  # type: ignore[attr-defined]
    return copy


def test_forgotten_parentheses() -> None:
    """They are missed where they were forgotten."""
    with pytest.raises(PluginError, match='write @resource\\("notes://today"\\)'):
        resource(lambda: "")  # type: ignore[arg-type]


def test_a_resource_takes_over_nothing() -> None:
    """A Stream is for tools; a Call is filled in."""

    @resource("a://b")
    def f(stream: Stream) -> None:
        """Stream."""

    @resource("a://{x}")
    async def g(x: str, call: Call) -> str:
        """Wait."""
        return x

    with pytest.raises(PluginError, match="a resource takes a Call"):
        built(f)
    assert built(g).call_parameter == "call"


# --- contents


@attrs.frozen
class Point:
    """A point."""

    x: int


@pytest.mark.parametrize(
    ("value", "contents"),
    [
        ("text", [Contents("text", uri="u", mime_type="text/plain")]),
        ("", [Contents("", uri="u", mime_type="text/plain")]),
        (b"blob", [Contents(b"blob", uri="u", mime_type="application/octet-stream")]),
        (bytearray(b"blob"), [Contents(b"blob", uri="u", mime_type="application/octet-stream")]),
        ({"a": 1}, [Contents('{"a":1}', uri="u", mime_type="application/json")]),
        (Point(1), [Contents('{"x":1}', uri="u", mime_type="application/json")]),
        (["a"], [Contents('["a"]', uri="u", mime_type="application/json")]),
        ([], [Contents("[]", uri="u", mime_type="application/json")]),
        (Contents("t"), [Contents("t", uri="u", mime_type="text/plain")]),
        (Contents(b"t", mime_type="image/png"), [Contents(b"t", uri="u", mime_type="image/png")]),
        (
            [Contents("t", uri="v", meta={"k": 1}), "s", b"b"],
            [
                Contents("t", uri="v", mime_type="text/plain", meta={"k": 1}),
                Contents("s", uri="u", mime_type="text/plain"),
                Contents(b"b", uri="u", mime_type="application/octet-stream"),
            ],
        ),
    ],
)
def test_contents(value: Any, contents: list[Contents]) -> None:
    """A text, a blob, JSON, or several; the URI is the one that was asked for unless said otherwise."""

    @resource("a://b")
    def f() -> Any:
        """Give."""

    assert to_contents(value, "u", built(f)) == contents


def test_what_the_resource_says_of_its_contents() -> None:
    """Its MIME type and its `_meta` are those of the contents that say nothing else."""

    @resource("ui://x", mime_type="text/html;profile=mcp-app", meta={"ui": {"prefersBorder": True}})
    def f() -> Any:
        """Give."""

    found = to_contents(["a", Contents("b", mime_type="text/css", meta={})], "ui://x", built(f))
    assert [(part.mime_type, part.meta) for part in found] == [
        ("text/html;profile=mcp-app", {"ui": {"prefersBorder": True}}),
        ("text/css", {}),
    ]


@pytest.mark.parametrize("value", [None, object(), {"a": object()}, orjson])
def test_values_that_are_no_contents(value: Any) -> None:
    """Nothing is no contents: a client could not tell it from an empty resource."""

    @resource("a://b")
    def f() -> Any:
        """Give."""

    with pytest.raises(TypeError):
        to_contents(value, "u", built(f))
