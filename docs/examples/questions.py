"""Tools that ask: the user for a form, the model for a text, several things at once, and the user to visit a page."""

from datetime import date
from enum import Enum
from typing import Annotated

import attrs

from mcpserve import Arg, AskError, Call, Elicit, Sample, tool


class Seat(Enum):
    """Where to sit."""

    INDOORS = "in"
    BY_THE_RIVER = "river"


@attrs.frozen
class Booking:
    """A table.

    Args:
        name: For whom it is.
    """

    name: str
    persons: Annotated[int, Arg("How many will come.", minimum=1, maximum=12)] = 2
    seat: Seat = Seat.INDOORS


@tool
async def book_table(call: Call, day: date) -> str:
    """Book a table; the user says the rest."""
    answer = await call.elicit("For whom is the table?", Booking)
    if not answer.accepted:
        return "Nothing was booked."
    return f"Booked for {answer.form.name} on {day}, {answer.form.persons} persons, {answer.form.seat.name.lower()}."


@tool
async def shorten(call: Call, text: str) -> str:
    """Shorten a text with the client's model, or without it."""
    try:
        return (await call.sample(f"Say this in one sentence: {text}", max_tokens=100)).text
    except AskError:
        return text.partition(".")[0] + "."


@attrs.frozen
class Guests:
    """Who comes."""

    number: int


@tool
async def plan_menu(call: Call) -> str:
    """Plan a menu for the user's guests."""
    answers = await call.ask(
        guests=Elicit("How many guests will there be?", Guests),
        dish=Sample("Name one dish for a summer evening."),
    )
    return f"{answers['dish'].text}, {answers['guests'].form.number} times."


@tool
async def pay(call: Call, amount: float) -> str:
    """Pay with the user's card, on a page of the shop."""
    number = call.once("payment", lambda: begin_payment(amount))
    answer = await call.elicit_url("Please pay on our page.", f"https://shop.example.org/pay/{number}")
    return f"Payment {number} is {'under way' if answer.accepted else 'not made'}."


payments: list[float] = []


def begin_payment(amount: float) -> int:
    """Note a payment, and give its number."""
    payments.append(amount)
    return len(payments)
