"""The tools and the prompt of the official conformance suite that ask the client, as an mcpserve plugin.

The names, the keys and the shapes of the forms are the suite's. The file stands behind `fixture.py` in the alphabet, as
the first tool of the list must be one that takes no arguments and asks nothing.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs

from mcpserve import Answer, Call, Elicit, ListRoots, Sample, prompt, tool

CAPITAL = "What is the capital of France?"

ENUMS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {
            "type": "string",
            "oneOf": [{"const": "value1", "title": "First Option"}, {"const": "value2", "title": "Second Option"}],
        },
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
        "titledMulti": {
            "type": "array",
            "items": {
                "anyOf": [{"const": "value1", "title": "First Choice"}, {"const": "value2", "title": "Second Choice"}]
            },
        },
    },
}


@attrs.frozen
class Name:
    """Who somebody is."""

    name: str


@attrs.frozen
class Confirmation:
    """Whether to go on."""

    ok: bool


@attrs.frozen
class Color:
    """A favourite."""

    color: str


@attrs.frozen
class Username:
    """Who somebody is to a computer."""

    username: str


@attrs.frozen
class Subject:
    """What a prompt is about."""

    context: str


@attrs.frozen
class Profile:
    """A form of which every field has a default."""

    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: Literal["active", "inactive", "pending"] = "active"
    verified: bool = True


@tool
async def test_sampling(call: Call, prompt: str) -> str:
    """Ask the client's model."""
    return f"LLM response: {(await call.sample(prompt, max_tokens=100)).text}"


@tool
async def test_elicitation(call: Call, message: str) -> str:
    """Ask the user who they are."""
    return told(await call.elicit(message, Username))


@tool
async def test_elicitation_sep1034_defaults(call: Call) -> str:
    """Ask with a default in each field."""
    return told(await call.elicit("Please review your profile", Profile))


@tool
async def test_elicitation_sep1330_enums(call: Call) -> str:
    """Ask with a choice of each kind."""
    return told(await call.elicit("Please choose", ENUMS_SCHEMA))


@tool
async def test_input_required_result_elicitation(call: Call) -> str:
    """Ask for a name."""
    return f"Hello, {(await call.elicit('What is your name?', Name, key='user_name')).form.name}!"


@tool
async def test_input_required_result_sampling(call: Call) -> str:
    """Ask the client's model."""
    return (await call.sample(CAPITAL, max_tokens=100, key="capital_question")).text


@tool
async def test_input_required_result_list_roots(call: Call) -> str:
    """Ask for the roots."""
    return "Roots: " + ", ".join(root.uri for root in await call.roots(key="client_roots"))


@tool
async def test_input_required_result_request_state(call: Call) -> str:
    """Ask, and rely on what travelled with the question."""
    kept = call.once("kept", lambda: "state-ok")
    await call.elicit("Please confirm", Confirmation, key="confirm")
    return kept


@tool
async def test_input_required_result_multiple_inputs(call: Call) -> str:
    """Ask three things at once."""
    answers = await call.ask(
        user_name=Elicit("What is your name?", Name),
        greeting=Sample("Generate a greeting", max_tokens=50),
        client_roots=ListRoots(),
    )
    return f"{answers['greeting'].text} {answers['user_name'].form.name}, with {len(answers['client_roots'])} roots"


@tool
async def test_input_required_result_multi_round(call: Call) -> str:
    """Ask one thing after the other."""
    name = (await call.elicit("Step 1: What is your name?", Name, key="step1")).form.name
    color = (await call.elicit("Step 2: What is your favorite color?", Color, key="step2")).form.color
    return f"{name} likes {color}."


@tool
async def test_input_required_result_tampered_state(call: Call) -> str:
    """Ask; a state that was changed on its way never comes back here."""
    await call.elicit("Please confirm", Confirmation, key="confirm")
    return "Confirmed."


@tool
async def test_input_required_result_capabilities(call: Call) -> str:
    """Ask for what the client declares, and for nothing else."""
    answers = await call.ask(
        **{key: question for key, question in QUESTIONS.items() if key in call.client_capabilities}
    )
    return f"Asked for {', '.join(answers)}."


@prompt
async def test_input_required_result_prompt(call: Call) -> str:
    """Ask what the prompt is about."""
    subject = (await call.elicit("What context should the prompt use?", Subject, key="user_context")).form
    return f"Please consider this: {subject.context}"


QUESTIONS = {"elicitation": Elicit("What is your name?", Name), "sampling": Sample(CAPITAL, max_tokens=100)}


def told(answer: Answer[Any]) -> str:
    """Say what came back."""
    return f"Elicitation completed: action={answer.action}, content={answer.form if answer.accepted else None}"
