"""What a plugin publishes can be tested without a server."""

import oven

from mcpserve.testing import Published, ToolRunner


def test_a_change_is_published():
    """Once for each time that the temperature is another."""
    runner = ToolRunner(oven.heat)
    runner.call("heat", target=oven.degrees)
    assert runner.published == []
    runner.call("heat", target=oven.degrees + 10)
    assert runner.published == [Published("notifications/resources/updated", "oven://temperature")]
