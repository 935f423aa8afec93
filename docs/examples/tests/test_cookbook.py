"""Tests of the cookbook, as its author would write them."""

import cookbook

from mcpserve import Text
from mcpserve.testing import ToolRunner


def test_a_recipe_is_read():
    """By its URI; there is none for stones."""
    runner = ToolRunner(cookbook.recipe)
    assert runner.read("recipes://bread/rye").text.startswith("Flour, water")
    assert runner.read("recipes://bread/stones").error["message"] == "There is no recipe for stones."


def test_a_plan_is_made():
    """Arguments are texts, as a form has them."""
    call = ToolRunner(cookbook.plan_baking).get_prompt("plan_baking", bread="rolls", loaves="3")
    assert call.messages[0].content == Text("Plan the baking of 3 loaves of rolls with the oven. Be brief.")
    assert call.messages[-1].role == "assistant"


def test_tools_are_suggested():
    """A tin only where it is of use."""
    runner = ToolRunner(cookbook.plan_baking)
    assert runner.complete("plan_baking", "tool", "", bread="rye").completion.values == ["oven", "stone", "tin"]
    assert runner.complete("plan_baking", "tool", "", bread="rolls").completion.values == ["oven", "stone"]
