"""From texts to what a function's hints ask for: the arguments of prompts and the variables of templates are texts.

A text is itself where a text is allowed. Elsewhere it is read as JSON: `5` for an int, `true` for a bool, `["a"]` for a
list. Where neither fits, the caller is told what would.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from mcpserve.errors import ToolError
from mcpserve.features.arguments import Signature
from mcpserve.features.validation import Validator


class TextArguments:
    """The arguments of a function that is called with texts.

    Args:
        signature: What is known of the function.
    """

    def __init__(self, signature: Signature) -> None:
        schema = signature.input_schema
        self._signature = signature
        self._properties: Mapping[str, Any] = schema.get("properties", {})
        self._required = frozenset(schema.get("required", ()))
        self._whole = Validator(schema, "arguments")
        definitions = {"$defs": schema["$defs"]} if "$defs" in schema else {}
        self._fits = {
            name: Validator({**part, **definitions}, f"schema of {name!r}").is_valid
            for name, part in self._properties.items()
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arguments, in order."""
        return tuple(self._properties)

    @property
    def optional(self) -> frozenset[str]:
        """The names of those that may be left out."""
        return frozenset(self._properties) - self._required

    @property
    def defaults(self) -> Mapping[str, Any]:
        """What the function gets for those that are left out."""
        return self._signature.defaults

    def described(self, name: str, member: str) -> str | None:
        """What the schema says of an argument: its "title" or its "description"."""
        found = self._properties[name].get(member)
        return found if isinstance(found, str) else None

    def bind(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """The keyword values of the function; defaults are left to Python.

        Raises:
            ToolError: A text does not fit, one is missing, or one too many is there; the sentence says which.
        """
        unknown = next((name for name in texts if name not in self._properties), None)
        if unknown is not None:
            raise ToolError(f"there is no argument {unknown[:60]!r}; there are: {', '.join(self.names) or 'none'}")
        values = {}
        for name, text in texts.items():
            # Clients show a form: what nobody has filled in comes as an empty text.
            if text == "" and name in self.optional and not self._fits[name](text):
                continue
            values[name] = self._read(name, text)
        problems = self._whole.problems(values)
        if problems:
            raise ToolError("; ".join(problems))
        return self._signature.bind(values)

    def _read(self, name: str, text: str) -> Any:
        fits, takes_text = self._fits[name], _takes_text(self._properties[name])
        if takes_text and fits(text):
            return text
        try:
            value = orjson.loads(text)
        except ValueError:
            return text
        # Of two values that do not fit, the one of the right kind is told what would.
        return value if fits(value) or not takes_text else text


def _takes_text(schema: Mapping[str, Any]) -> bool:
    """Tell whether a schema of ours takes some text or other."""
    if "anyOf" in schema:
        return any(map(_takes_text, schema["anyOf"]))
    if "enum" in schema:
        return any(isinstance(value, str) for value in schema["enum"])
    return "$ref" not in schema and schema.get("type", "string") == "string"
