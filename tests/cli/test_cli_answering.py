"""A person at a terminal is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import Deferred

from mcpserve.cli.answering import Interview
from mcpserve.client.values import FormQuestion, PageQuestion

FORM = FormQuestion(
    message="Who\x1b[2J are you?",
    schema={
        "properties": {
            "name": {"type": "string", "description": "In full", "minLength": 2},
            "age": {"type": "integer", "default": 30},
            "color": {"enum": ["red", "green"]},
        },
        "required": ["name"],
    },
)
PAGE = PageQuestion(message="Log in", url="https://user@example.org:99/\x1b[2J?a=b")


class Person:
    """Types what a test wants; then closes the terminal."""

    def __init__(self, lines: Sequence[Any]) -> None:
        self.lines, self.seen, self.hidden = list(lines), "", 0
        self.interview = Interview(self, self, self.write)  # type: ignore[arg-type]

    def write(self, text: str) -> None:
        self.seen += text

    async def line(self, prompt: str) -> str | None:
        assert self.hidden == 1
        self.seen += prompt
        answer = self.lines.pop(0) if self.lines else None
        if isinstance(answer, Deferred):
            answer = await answer
        self.seen += f"{answer}\n"
        return answer

    @contextmanager
    def aside(self) -> Iterator[None]:
        """The bar is away meanwhile."""
        self.hidden += 1
        yield
        self.hidden -= 1


def asked(question: FormQuestion | PageQuestion, *lines: str) -> tuple[Any, str]:
    """The answer to a question, and what was on the terminal."""
    person = Person(lines)
    interview = person.interview
    asking = interview.elicit(question) if isinstance(question, FormQuestion) else interview.visit(question)
    answers: list[Any] = []
    Deferred.fromCoroutine(asking).addCallback(answers.append)
    assert person.hidden == 0
    return answers[0], person.seen


def test_a_form_is_filled_in() -> None:
    """Defaults with Enter, choices by number; what may be left out is."""
    answer, seen = asked(FORM, "Ada", "", "2", "")
    assert answer == {"name": "Ada", "age": 30, "color": "green"}
    assert asked(FORM, "Ada", "31", "", "y")[0] == {"name": "Ada", "age": 31}
    for part in ("Who\\x1b[2J are you?", "In full", "age [30]: ", "1) red", "color (optional): ", "Send it?"):
        assert part in seen
    assert "\x1b" not in seen


def test_what_does_not_fit_is_asked_again() -> None:
    """With the reason."""
    answer, seen = asked(FORM, "", "A", "Ada", "x", "7", "blue", "", "yes")
    assert answer == {"name": "Ada", "age": 7}
    assert "It is required" in seen
    assert "shorter than 2" in seen
    assert "age must be a whole number" in seen
    assert "'blue' is none of the choices" in seen


def test_nothing_is_sent_without_a_yes() -> None:
    """A no declines, anything else is asked again, and what was written can be edited."""
    assert asked(FORM, "Ada", "", "", "n")[0] == "decline"
    assert asked(FORM, "Ada", "", "", "what?", "no")[0] == "decline"
    assert asked(FORM, "Ada", "", "red", "e", "Bea", "", "", "")[0] == {"name": "Bea", "age": 30, "color": "red"}


def test_the_end_of_input_cancels() -> None:
    """At any question."""
    assert asked(FORM)[0] == "cancel"
    assert asked(FORM, "Ada", "", "")[0] == "cancel"
    assert asked(PAGE)[0] == "cancel"


def test_a_form_without_fields_is_a_question() -> None:
    """Yes or no."""
    empty = FormQuestion(message="Delete it?", schema={"properties": {}})
    assert asked(empty, "y")[0] == {}
    assert asked(empty, "n")[0] == "decline"


def test_a_page_is_shown_in_full_and_needs_consent() -> None:
    """The host by itself, as a URL can look like another; nothing but a yes is one."""
    answer, seen = asked(PAGE, "y")
    assert answer == "accept"
    assert "https://user@example.org:99/\\x1b[2J?a=b" in seen
    assert "host:  example.org\n" in seen
    assert asked(PAGE, "")[0] == asked(PAGE, "n")[0] == asked(PAGE, "maybe", "no")[0] == "decline"


def test_a_url_without_a_host_is_shown() -> None:
    """It is the user who judges it."""
    assert "host:  none" in asked(PageQuestion(message="x", url="http://[::1"), "n")[1]


def test_one_question_at_a_time() -> None:
    """A server may ask several at once; the terminal is one."""
    first: Deferred[str] = Deferred()
    person = Person([first, "y"])
    answers: dict[str, Any] = {}
    for which in ("first", "second"):
        Deferred.fromCoroutine(person.interview.visit(PAGE)).addCallback(
            lambda answer, which=which: answers.update({which: answer})
        )
    assert person.seen.count("host:") == 1
    first.callback("n")
    assert answers == {"first": "decline", "second": "accept"}
