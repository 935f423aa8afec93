"""A directory whose files are resources: here the one that this file is in."""

from pathlib import Path

from mcpserve import Directory

shelf = Directory("docs://examples", Path(__file__).parent, title="Examples", ttl=60)
