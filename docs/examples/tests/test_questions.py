"""Tools that ask can be tested without a client."""

import questions

from mcpserve.testing import ToolRunner


def test_a_table_is_booked():
    """The user fills in the form."""
    runner = ToolRunner(questions.book_table)
    call = runner.call("book_table", day="2030-05-01", answers={"elicit-1": {"name": "Ada", "seat": "river"}})
    assert call.text == "Booked for Ada on 2030-05-01, 2 persons, by_the_river."


def test_nothing_is_booked():
    """The user says no."""
    call = ToolRunner(questions.book_table).call("book_table", day="2030-05-01")
    assert call.asked["elicit-1"].params["message"] == "For whom is the table?"
    call.answer({"elicit-1": "decline"})
    assert call.text == "Nothing was booked."


def test_one_payment_is_begun():
    """In both eras, though in one of them the tool runs twice."""
    for revision in ("2025-11-25", "2026-07-28"):
        questions.payments.clear()
        call = ToolRunner(questions.pay).call("pay", amount=5, revision=revision)
        call.answer({"elicit-1": "accept"})
        assert call.text == "Payment 1 is under way."
        assert questions.payments == [5]
