"""How the author of a plugin tests it: without sockets, on a clock that the test advances."""

from bakery import bake

from mcpserve.testing import Progress, ToolRunner


def test_it_bakes_loaf_after_loaf():
    """Each loaf takes a second and is reported; then comes the result."""
    runner = ToolRunner(bake)
    call = runner.call("bake", loaves=2)
    assert call.progress == [Progress(0, 2, "loaf 1 is in the oven")]
    runner.clock.advance(1)
    runner.clock.advance(1)
    assert [step.message for step in call.progress[1:]] == ["loaf 2 is in the oven", "the oven is off"]
    assert call.text == "Baked 2 loaves."
    assert runner.leftovers() == []


def test_it_stops_when_the_client_goes():
    """Nothing is left of the call when the client has gone."""
    runner = ToolRunner(bake)
    call = runner.call("bake", loaves=100)
    runner.clock.advance(1)
    call.drop()
    assert call.cancelled
    assert runner.leftovers() == []


def test_it_waits_for_a_slow_reader():
    """While the reader is behind, no further loaf is begun."""
    runner = ToolRunner(bake)
    call = runner.call("bake", loaves=3)
    call.stall()
    runner.clock.pump([1.0] * 10)
    assert len(call.progress) == 1
    call.resume()
    runner.clock.pump([1.0] * 10)
    assert call.text == "Baked 3 loaves."


def test_a_wrong_argument_is_an_error_for_the_model():
    """Arguments are checked against the schema, as in the server."""
    result = ToolRunner(bake).call("bake", loaves="many").result
    assert result.is_error
    assert "loaves" in result.content[0].text
