"""The reference of the client has what there is."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import attrs
import pytest

import mcpserve.client
from mcpserve.client import Client, aio, sync
from mcpserve.errors import ClientError

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "client-api.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\|(.*)\|$", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")
WAYS = {"stdio", "to", "through"}


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    _, _, *body = ROW.findall(section)
    return [[cell.strip() for cell in row.split(" | ")] for row in body]


def shown(function: Any) -> str:
    """A method with its parameters and their defaults, as the page shows it."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    words = [one.name if one.default is one.empty else f"{one.name}={one.default!r}" for one in parameters]
    return f"{function.__name__}({', '.join(words)})"


def test_arguments() -> None:
    """All that a client can be given, in order; defaults that are shown as code are those."""
    parameters = list(inspect.signature(Client).parameters.values())
    listed = rows("Making a client")
    assert [CODE.findall(name)[0] for name, *_ in listed] == [one.name for one in parameters]
    for (_, default, _), parameter in zip(listed, parameters, strict=True):
        for code in CODE.findall(default):
            assert eval(code, {**vars(mcpserve.client), "random": __import__("random")}) == parameter.default


def test_methods() -> None:
    """Each with its parameters, and no other one."""
    public = {name: member for name, member in inspect.getmembers(Client) if not name.startswith("_")}
    methods = {shown(member) for name, member in public.items() if callable(member) and name not in WAYS}
    properties = {name for name, member in public.items() if not callable(member)}
    listed = [CODE.findall(name)[0] for name, _ in rows("Methods")]
    assert set(listed) == methods | properties
    assert len(listed) == len(set(listed))
    assert all(f"`Client.{name}(" in PAGE for name in WAYS)


def test_what_may_be_given_by_position() -> None:
    """The sentence names those, and no others."""
    public = [member for name, member in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")]
    parameters = [one for function in public for one in list(inspect.signature(function).parameters.values())[1:]]
    sentence = re.search(r"^Only (.*?) may be given by position", PAGE, re.MULTILINE | re.DOTALL)
    assert sentence is not None
    assert set(CODE.findall(sentence[1])) == {one.name for one in parameters if one.kind != one.KEYWORD_ONLY}


@pytest.mark.parametrize("name", ["Timeouts", "Limits", "Retries"])
def test_numbers(name: str) -> None:
    """All fields, in order, with their defaults."""
    fields = [(field.name, str(field.default)) for field in attrs.fields(getattr(mcpserve.client, name))]
    assert [(CODE.findall(field)[0], default) for field, default, _ in rows(name)] == fields


def test_values() -> None:
    """All fields of each, in order; what is named beside them is there, too."""
    for cell, text in rows("Values"):
        kind = getattr(mcpserve.client, CODE.findall(cell)[0])
        fields, _, more = text.partition(";")
        assert CODE.findall(fields) == [field.name for field in attrs.fields(kind)], kind
        assert all(isinstance(inspect.getattr_static(kind, name), property) for name in CODE.findall(more)), kind


def test_errors() -> None:
    """All, in the order of the tree."""
    listed = [CODE.findall(name)[0] for name, _ in rows("Errors")]
    exported = {name for name in mcpserve.client.__all__ if _is_error(getattr(mcpserve.client, name))}
    assert set(listed) == exported
    assert len(listed) == len(exported)


def _is_error(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, ClientError)


def test_the_front_doors_are_listed() -> None:
    """The page names everything that is exported."""
    named = {word for code in CODE.findall(PAGE) for word in re.findall(r"\w+", code)}
    for door in (mcpserve.client, aio, sync):
        assert set(door.__all__) - named == set(), door
