"""Serves the conformance fixture on 127.0.0.1 until it is stopped: `python -m tests.conformance.serve --port N`.

Point the suite at it: `conformance server --url http://127.0.0.1:N/mcp --requirements 2026-07-28`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from tests.interop.served import twist_mcpserve

PLUGINS = Path(__file__).with_name("plugins")


def command(port: int) -> list[str]:
    """The command line that serves the fixture and nothing else."""
    listen = f"tcp:{port}:interface=127.0.0.1"
    return twist_mcpserve("--listen", listen, "--no-shipped", "--plugins", str(PLUGINS))


def main() -> None:
    """Become the server."""
    parser = argparse.ArgumentParser(description="Serve the conformance fixture on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=8000)
    argv = command(parser.parse_args().port)
    os.execv(argv[0], argv)


if __name__ == "__main__":
    main()
