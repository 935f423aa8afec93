"""What `mcpserve new-plugin` writes. `$name` is the name of the module and of its tool, `$title` what people read."""

from __future__ import annotations

PLUGIN = '''"""$name: says hello, and reports how far it is. A plugin to begin with: change what you like."""

from typing import Annotated

from mcpserve import Arg, Call, tool


@tool(title="$title", read_only=True, open_world=False)
async def $name(
    call: Call,
    name: Annotated[str, Arg("Whom to greet.", min_length=1)],
    times: Annotated[int, Arg("How often.", minimum=1, maximum=100)] = 1,
) -> str:
    """Greet somebody, once a second."""
    greetings = []
    for done in range(times):
        # Awaited, progress() waits while the client is behind with reading.
        await call.progress(done, times, f"greeting {done + 1} of {times}")
        # If the client goes away or cancels, this raises CancelledError: the tool ends here.
        await call.sleep(1.0)
        greetings.append(f"Hello, {name}!")
    return "\\n".join(greetings)
'''

TEST = '''"""$name: what holds of it. Time is a clock that the test advances; nothing waits."""

from $name import $name

from mcpserve.testing import Progress, ToolRunner


def test_it_greets_once_a_second():
    """Each greeting is reported before it is made; then comes the result."""
    runner = ToolRunner($name)
    call = runner.call("$name", name="Ada", times=2)
    assert call.progress == [Progress(0, 2, "greeting 1 of 2")]
    runner.clock.pump([1.0, 1.0])
    assert [said.value for said in call.progress] == [0, 1]
    assert call.text == "Hello, Ada!\\nHello, Ada!"
    assert runner.leftovers() == []


def test_it_stops_when_the_client_goes():
    """Nothing is left of it then."""
    runner = ToolRunner($name)
    call = runner.call("$name", name="Ada", times=100)
    runner.clock.advance(1)
    call.drop()
    assert call.cancelled
    assert runner.leftovers() == []


def test_a_wrong_argument_is_an_error_for_the_model():
    """Arguments are checked against the schema, as in the server."""
    result = ToolRunner($name).call("$name", name="Ada", times=0).result
    assert result.is_error
    assert "times" in result.content[0].text
'''

CONFTEST = '''"""The plugins stand beside this directory, not in it: here is where the tests find them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
'''
