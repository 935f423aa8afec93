"""What the server is answered that asks the user: by the person at the terminal, or by what the command line says.

Nothing is ever opened, and nothing is sent that the person has not seen, or written on the command line.
Spec: 2026-07-28, Elicitation, Safe URL Handling: "MUST NOT open the URL without explicit consent from the user"; "MUST
show the full URL to the user for examination before consent".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import DeferredLock

from mcpserve.cli.forms import Field, FieldError, fields_of, fill_in
from mcpserve.cli.screens import Screen
from mcpserve.cli.terminal import Typing
from mcpserve.cli.things import Asked
from mcpserve.cli.visible import one_line, visible
from mcpserve.client.answering import Elicited
from mcpserve.client.values import FormQuestion, PageQuestion
from mcpserve.errors import ConfigurationError
from mcpserve.protocol.inputs import Action
from mcpserve.protocol.types import ABSENT

_AGREE = {"Y": "es", "n": "o"}


class Withdrawn(Exception):
    """The person has had enough: Ctrl-D."""


class FixedAnswers:
    """Answers without asking: forms with what the command line says and their defaults; anything else is declined.

    Args:
        answers: Field and text, of all forms; None to decline every form.
        screen: Is told what was asked and answered.
    """

    def __init__(self, answers: Mapping[str, str] | None, screen: Screen) -> None:
        self._answers, self._screen = answers, screen

    async def elicit(self, question: FormQuestion) -> Elicited:
        """Fill a form in."""
        if self._answers is None:
            return self._said("form", question.message, "decline", "--answer KEY=VALUE would fill it in")
        try:
            values = fill_in(fields_of(question.schema), self._answers)
        except FieldError as error:
            return self._said("form", question.message, "decline", str(error))
        self._said("form", question.message, "accept", "")
        return values

    async def visit(self, question: PageQuestion) -> Action:
        """Nobody is there to visit a page."""
        return self._said("url", f"{question.message} {question.url}", "decline", "nobody is there to visit it")

    def _said(self, mode: str, message: str, action: Action, reason: str) -> Action:
        self._screen.show(Asked(mode=mode, message=message, action=action, reason=reason))
        return action


class Interview:
    """Asks the person at the terminal, one question after the other.

    Args:
        typing: The person.
        screen: What is on the terminal; it goes aside meanwhile.
        write: Writes to the terminal.
    """

    def __init__(self, typing: Typing, screen: Screen, write: Callable[[str], object]) -> None:
        self._typing, self._screen, self._write = typing, screen, write
        self._one = DeferredLock()

    async def elicit(self, question: FormQuestion) -> Elicited:
        """Have a form filled in; Ctrl-D cancels it."""
        async with self._one:
            with self._screen.aside():
                try:
                    return await self._form(question)
                except Withdrawn:
                    self._write("\nCancelled.\n")
                    return "cancel"

    async def visit(self, question: PageQuestion) -> Action:
        """Show a page and ask for consent; the person opens it, not we."""
        async with self._one:
            with self._screen.aside():
                try:
                    return await self._page(question)
                except Withdrawn:
                    self._write("\nCancelled.\n")
                    return "cancel"

    async def _form(self, question: FormQuestion) -> Elicited:
        self._write(f"The server asks: {visible(question.message)}\n")
        fields = fields_of(question.schema)
        values: dict[str, Any] = {}
        if fields:
            self._write("An empty answer takes what stands in [brackets]; Ctrl-D cancels.\n")
        while True:
            for field in fields:
                value = await self._field(field, values.get(field.name, field.default))
                values.pop(field.name, None)
                if value is not ABSENT:
                    values[field.name] = value
            answer = await self._choice("Send it?", {"Y": "es", "n": "o", "e": "dit"} if fields else _AGREE)
            if answer != "e":
                return values if answer == "y" else "decline"

    async def _page(self, question: PageQuestion) -> Action:
        self._write(f"The server asks you to visit a page: {visible(question.message)}\n")
        self._write(f"  page:  {one_line(question.url)}\n  host:  {one_line(_host(question.url))}\n")
        self._write("Open it yourself, in a browser, if you trust it; nothing is opened for you.\n")
        answer = await self._choice("Do you agree to visit it?", {"y": "es", "N": "o"})
        return "accept" if answer == "y" else "decline"

    async def _field(self, field: Field, default: Any) -> Any:
        self._explain(field)
        while True:
            text = (await self._line(f"{one_line(field.title)}{_bracketed(field, default)}: ")).strip()
            if not text and default is not ABSENT:
                return default
            if not text and not field.required:
                return ABSENT
            try:
                if text:
                    return field.read(text)
                self._write("  It is required.\n")
            except FieldError as error:
                self._write(f"  {visible(str(error))}\n")

    def _explain(self, field: Field) -> None:
        if field.description:
            self._write(f"  {visible(field.description)}\n")
        for number, choice in enumerate(field.choices, 1):
            self._write(f"  {number}) {one_line(choice.title)}\n")
        if field.several:
            self._write("  Several can be chosen, with commas between.\n")

    async def _choice(self, question: str, words: Mapping[str, str]) -> str:
        """One of these words, by its first letter; the one that has a capital letter is the default."""
        prompt = f"{question} {', '.join(f'[{first}]{rest}' for first, rest in words.items())}: "
        default = next(first for first in words if first.isupper())
        meant = {spelled.lower(): first.lower() for first, rest in words.items() for spelled in (first, first + rest)}
        while True:
            answer = (await self._line(prompt)).strip().lower()
            if not answer:
                return default.lower()
            if answer in meant:
                return meant[answer]

    async def _line(self, prompt: str) -> str:
        line = await self._typing.line(prompt)
        if line is None:
            raise Withdrawn
        return line


def read_answers(words: Sequence[str]) -> dict[str, str] | None:
    """Read `KEY=VALUE` words; None if there are none.

    Raises:
        ConfigurationError: A word has another form.
    """
    pairs = [word.partition("=") for word in words]
    wrong = [word for word, equals, _ in pairs if not (word and equals)]
    if wrong:
        raise ConfigurationError(f"--answer takes KEY=VALUE, and not {wrong[0]!r}")
    return {key: value for key, _, value in pairs} or None


def _bracketed(field: Field, default: Any) -> str:
    if default is ABSENT:
        return "" if field.required else " (optional)"
    return f" [{one_line(field.spelled(default))}]"


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "none"
    except ValueError:
        return "none"
