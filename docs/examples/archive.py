"""Tools whose calls may be tasks."""

import attrs

from mcpserve import Call, ToolError, tool


@tool(task="optional", timeout=3600)
async def build_archive(call: Call, files: int = 10) -> str:
    """Build an archive, a file a second."""
    for done in range(files):
        call.progress(done, files, f"file {done + 1} of {files}")
        await call.sleep(1.0)
    return f"The archive has {files} files."


@attrs.frozen
class Approval:
    """What a person has to say to a deletion."""

    keep_backup: bool = True


@tool(task="optional", destructive=True)
async def empty_archive(call: Call, files: int = 3) -> str:
    """Empty the archive, if somebody agrees."""
    await call.sleep(1.0)
    answer = await call.elicit(f"{files} files are to be deleted. Go on?", Approval)
    if not answer.accepted:
        raise ToolError("Nobody agreed; nothing was deleted.")
    kept = "; there is a backup" if answer.form.keep_backup else ""
    return f"Deleted {files} files{kept}."


@attrs.frozen
class Owner:
    """Whose archive it is."""

    name: str


@tool(task="optional", defer_task=True)
async def move_archive(call: Call) -> str:
    """Move the archive to somebody else, which takes its time."""
    answer = await call.elicit("Whose is it to be?", Owner)
    await call.start_task()
    await call.sleep(5.0)
    return f"The archive belongs to {answer.form.name}."
