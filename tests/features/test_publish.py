"""What a plugin publishes, and who gets it."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread
from typing import Any

import attrs
import pytest

from mcpserve import publish
from mcpserve.protocol.notices import Notice


@attrs.define(eq=False)
class Outlet:
    """Remembers what it got."""

    got: list[tuple[str, str | None]] = attrs.Factory(list)

    def publish(self, notice: Notice) -> None:
        """See `publish.Outlet`."""
        self.got.append((notice.method, notice.subject))


@pytest.fixture
def outlets() -> Iterator[list[Outlet]]:
    """Two servers in this process."""
    both = [Outlet(), Outlet()]
    for outlet in both:
        publish.attach(outlet)
    yield both
    for outlet in both:
        publish.detach(outlet)


SAID = [
    ("tools_changed", (), ("notifications/tools/list_changed", None)),
    ("prompts_changed", (), ("notifications/prompts/list_changed", None)),
    ("resources_changed", (), ("notifications/resources/list_changed", None)),
    ("resource_updated", ("a:b",), ("notifications/resources/updated", "a:b")),
]


def test_each_function_is_tested() -> None:
    """There are as many as the table has."""
    assert sorted(name for name, _, _ in SAID) == publish.__all__


@pytest.mark.parametrize(("name", "arguments", "notice"), SAID)
def test_everybody_gets_it(outlets: list[Outlet], name: str, arguments: Any, notice: Any) -> None:
    """Every server in this process, in any thread."""
    speak = getattr(publish, name)
    speak(*arguments)
    thread = Thread(target=speak, args=arguments)
    thread.start()
    thread.join()
    assert [outlet.got for outlet in outlets] == [[notice, notice]] * 2


def test_one_that_is_gone(outlets: list[Outlet]) -> None:
    """It gets no more, the other does; to let it go twice is no harm."""
    for _ in range(2):
        publish.detach(outlets[0])
    publish.tools_changed()
    assert [len(outlet.got) for outlet in outlets] == [0, 1]


def test_nobody_is_there() -> None:
    """Nothing happens."""
    publish.tools_changed()


@pytest.mark.parametrize("uri", [None, 5, "\ud800"])
def test_what_is_no_uri(outlets: list[Outlet], uri: Any) -> None:
    """Whoever says it is told, and nobody else."""
    with pytest.raises(TypeError):
        publish.resource_updated(uri)
    assert outlets[0].got == []
