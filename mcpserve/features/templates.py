"""URI templates, read backwards: from a URI to the variables that it was made of.

RFC 6570 says how to make a URI of a template, which is easy; the way back need not be unique. What is served here is
the part of it that has one way back, in a single pass over the URI. The rest is refused when the plugin is loaded:

    expression     takes                                             for example
    {name}         one segment: everything but / ? #                 notes://{year}/{month}
    {a,b}          the same, with a comma between                    geo://{lat,lon}
    {+path}        everything, slashes too; once in a template       files://{+path}
    {/a,b}         segments with their slashes; those of parameters  log://host{/year,month}
                   with a default may be missing from the end
    {?q,limit}     a query in any order; at the very end             search://notes{?q,limit}

Two variables need a character between them that the values can't hold unencoded. It is found by itself: the first
character of the text between them that is not a letter, a digit or one of - . _ ~ is taken out of what the variable may
hold as it is. A client that makes URIs by RFC 6570 encodes that character, and one that pastes raw text in may use any
other.

What a function gets can't lead out of a directory that it is put behind: a value with `.` or `..` as a segment, with a
backslash or a NUL, or with a slash (of {+path}: in front) where there should be none, matches nothing, encoded or not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import NoReturn
from urllib.parse import quote, unquote

import attrs

LONGEST_URI = 8192
"""Characters. No longer URI matches: one that is asked for is looked at by each template."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_EXPRESSION = re.compile(r"(\{[^{}]*\})")
_INSIDE = re.compile(r"([^A-Za-z0-9_]?)((?:[A-Za-z_][A-Za-z0-9_]*)(?:,[A-Za-z_][A-Za-z0-9_]*)*)")
_NOT_IN_URIS = re.compile(r'[\x00-\x20\x7f"<>\\^`{|}]')
_SEPARATOR = re.compile(r"[^A-Za-z0-9\-._~%]")
_OPERATORS = ("", "+", "/", "?")


@attrs.frozen
class _Variable:
    """A place in the path: one segment of it, or (`whole`) any number of them. An optional one brings its own slash."""

    name: str
    whole: bool = False
    optional: bool = False


_Part = str | _Variable


class UriTemplate:
    """A template, ready to match URIs.

    Args:
        text: The template.
        optional: The variables that may be missing, if they are of {/...} or {?...}.

    Attributes:
        text: The template.
        variables: The names in it, in order.

    Raises:
        ValueError: It is no template, or one without a single way back; the sentence says what to write instead.

    Spec: Resources, Resource Templates; RFC 6570.
    """

    def __init__(self, text: str, optional: Collection[str] = ()) -> None:
        self.text = text
        self._optional = frozenset(optional)
        self._parts, self._query = _parse(text, self._optional)
        names = [part.name for part in self._parts if isinstance(part, _Variable)]
        self.variables: tuple[str, ...] = (*names, *self._query)
        for name in self.variables:
            if self.variables.count(name) > 1:
                raise ValueError(f"{{{name}}} stands in it twice; name each variable once")
        self._whole = frozenset(part.name for part in self._parts if isinstance(part, _Variable) and part.whole)
        self._pattern = re.compile(_pattern(self._parts, bool(self._query)), re.DOTALL)

    def match(self, uri: str) -> dict[str, str] | None:
        """The variables of a URI, decoded; None when it is not of this template."""
        if len(uri) > LONGEST_URI:
            return None
        path, mark, query = uri.partition("?") if self._query else (uri, "", "")
        found = self._pattern.fullmatch(path)
        if found is None:
            return None
        values = {name: text for name, text in found.groupdict().items() if text is not None}
        if self._query and not self._take_query(query if mark else None, values):
            return None
        return self._decoded(values)

    def expand(self, values: Mapping[str, str]) -> str:
        """The URI of some values; those of a query and optional segments may be left out."""
        made = []
        for part in self._parts:
            if isinstance(part, str):
                made.append(part)
            elif part.name in values:
                value = quote(values[part.name], safe="/" if part.whole else "")
                made.append(f"/{value}" if part.optional else value)
        query = "&".join(f"{name}={quote(values[name], safe='')}" for name in self._query if name in values)
        return "".join(made) + (f"?{query}" if query else "")

    def _take_query(self, query: str | None, values: dict[str, str]) -> bool:
        for pair in query.split("&") if query else ():
            name, _, value = pair.partition("=")
            if name not in self._query or name in values:
                return False
            values[name] = value
        return all(name in values or name in self._optional for name in self._query)

    def _decoded(self, values: Mapping[str, str]) -> dict[str, str] | None:
        decoded = {}
        for name, text in values.items():
            try:
                decoded[name] = unquote(text, errors="strict")
            except UnicodeDecodeError:
                return None
            if name not in self._query and not _stays_inside(decoded[name], name in self._whole):
                return None
        return decoded


def _stays_inside(value: str, whole: bool) -> bool:
    # "Servers MUST sanitize file paths to prevent directory traversal attacks": here, so that no author has to.
    if "\0" in value or "\\" in value or ("/" in value and not whole):
        return False
    return not value.startswith("/") and not {".", ".."} & set(value.split("/"))


def _parse(text: str, optional: Collection[str]) -> tuple[Sequence[_Part], tuple[str, ...]]:
    """Take a template apart: what stands in its path, and the names of its query."""
    if not _SCHEME.match(text):
        raise ValueError("a URI begins with its scheme, as in 'notes://'")
    parts: list[_Part] = []
    query: tuple[str, ...] = ()
    for piece in _EXPRESSION.split(text):
        if query and piece:
            raise ValueError("a query, {?...}, stands at the very end")
        if not piece.startswith("{"):
            _add_text(parts, piece)
            continue
        operator, names = _expression(piece)
        if operator == "?":
            query = names
        else:
            _add_variables(parts, operator, names, optional)
    if query and any(isinstance(part, str) and "?" in part for part in parts):
        raise ValueError("it has two queries; put all variables of it into {?...}")
    _check_order(parts)
    return parts, query


def _expression(piece: str) -> tuple[str, tuple[str, ...]]:
    inside = _INSIDE.fullmatch(piece[1:-1])
    if inside is None:
        if re.search(r"[*:]", piece):
            raise ValueError(
                f"{piece} has a modifier, which has no single way back; use {{+path}}, or several variables"
            )
        raise ValueError(f"{piece} is no expression; write {{name}}, {{+path}}, {{/segment}} or {{?query}}")
    operator, names = inside[1], tuple(inside[2].split(","))
    if operator not in _OPERATORS:
        raise ValueError(f"{piece} is not served; write {{name}}, {{+path}}, {{/segment}} or {{?query}}")
    return operator, names


def _add_text(parts: list[_Part], text: str) -> None:
    if wrong := _NOT_IN_URIS.search(text):
        raise ValueError(f"{wrong[0]!r} can't stand in a URI as it is")
    if "#" in text:
        raise ValueError("a URI of a resource has no fragment: take '#' and what follows away")
    if text and parts and isinstance(parts[-1], str):
        parts[-1] += text
    elif text:
        parts.append(text)


def _add_variables(parts: list[_Part], operator: str, names: Sequence[str], optional: Collection[str]) -> None:
    for index, name in enumerate(names):
        if operator == "/" and name in optional:
            parts.append(_Variable(name, optional=True))
            continue
        if operator == "/" or index:
            _add_text(parts, "/" if operator == "/" else ",")
        parts.append(_Variable(name, whole=operator == "+"))


def _check_order(parts: Sequence[_Part]) -> None:
    """Refuse what has more than one way back."""
    variables = [part for part in parts if isinstance(part, _Variable)]
    whole = [variable for variable in variables if variable.whole]
    missing = [variable for variable in variables if variable.optional]
    if len(whole) > 1:
        raise ValueError("it has two variables that take slashes, so that nobody could tell where the first one ends")
    if missing and (whole or parts[-len(missing) :] != missing):
        raise ValueError(
            f"{{/{missing[0].name}}} may be missing, as its parameter has a default: so nothing but such segments and "
            "a query follows it, and no {+path} comes before"
        )
    for left, right in pairwise(parts):
        if isinstance(left, _Variable) and isinstance(right, _Variable) and not right.optional:
            _refuse_neighbours(left, right)
    for left, text, right in zip(parts, parts[1:], parts[2:], strict=False):
        between = isinstance(left, _Variable) and isinstance(text, str) and isinstance(right, _Variable)
        if between and not _SEPARATOR.search(str(text)):
            _refuse_neighbours(left, right)


def _refuse_neighbours(left: _Part, right: _Part) -> NoReturn:
    names = [part.name for part in (left, right) if isinstance(part, _Variable)]
    raise ValueError(
        f"nobody could tell where {{{names[0]}}} ends and {{{names[-1]}}} begins; put a '/' or a ':' between them"
    )


def _pattern(parts: Sequence[_Part], query: bool) -> str:
    """The regular expression of the path.

    Each variable has a character that it can't hold: before the variable that takes slashes a separator that follows
    it, after it one that stands in front of it. So the way through is unique, from both ends to the middle.
    """
    pattern, closing, seen_whole = "", "", False
    for index, part in enumerate(parts):
        if isinstance(part, str):
            pattern += re.escape(part)
            continue
        seen_whole = seen_whole or part.whole
        neighbour = parts[index - 1] if seen_whole else parts[index + 1] if index + 1 < len(parts) else ""
        separators = _SEPARATOR.findall(neighbour) if isinstance(neighbour, str) else []
        excluded = "#?" if query or not part.whole else "#"
        if not part.whole:
            excluded += "/" + (separators[0] if separators else "")
        group = f"(?P<{part.name}>[^{re.escape(excluded)}]+)"
        pattern += f"(?:/{group}" if part.optional else group
        closing += ")?" if part.optional else ""
    return pattern + closing
