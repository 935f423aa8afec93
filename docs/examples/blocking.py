"""A tool that blocks, and therefore runs in a thread."""

import hashlib

from mcpserve import Call, ToolError, tool


@tool(thread=True, timeout=30, max_concurrent=4)
def stretch(call: Call, password: str, rounds: int = 100_000) -> str:
    """Hash a password many times over, so that guessing it takes long."""
    if rounds < 1:
        raise ToolError("rounds must be at least 1.")
    digest = password.encode()
    for done in range(rounds):
        digest = hashlib.sha256(digest).digest()
        if done % 10_000 == 0:
            call.progress(done, rounds)
    return digest.hex()
