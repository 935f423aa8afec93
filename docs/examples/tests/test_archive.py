"""Tools that may be tasks can be tested without a client."""

from archive import build_archive, empty_archive

from mcpserve.testing import ToolRunner


def test_a_client_comes_back_for_the_archive():
    """The client that knows tasks looks at its task now and then."""
    runner = ToolRunner(build_archive)
    task = runner.call("build_archive", files=2, tasks=True).task
    assert (task.status, task.message) == ("working", "file 1 of 2")
    runner.clock.pump([1.0] * 2)
    assert (task.status, task.text) == ("completed", "The archive has 2 files.")
    assert runner.leftovers() == []


def test_nothing_is_deleted_without_a_yes():
    """The task waits until its client answers."""
    runner = ToolRunner(empty_archive)
    task = runner.call("empty_archive", tasks=True).task
    runner.clock.advance(1.0)
    assert task.status == "input_required"
    task.answer({"elicit-1": "decline"})
    assert task.text == "Nobody agreed; nothing was deleted."
