"""documents: the files of a directory as resources. Off until the configuration names the directory:

    [plugin.documents]
    root = "/srv/handbook"    # nothing outside of this directory is ever read, links are not followed
    uri = "docs://handbook"   # in front of the paths
    limit = 4194304           # bytes of the largest file that is read
    watch = 5                 # seconds between two looks at what has changed

Clients that watch a file are told when it changes, and all of them when files come or go.
"""

import os
from collections.abc import Mapping
from typing import Any

from mcpserve import Directory, PluginError

_KEYS = ("root", "uri", "limit", "watch")

documents: Directory | None = None  # what configure() made; the server serves the directories that it finds


def configure(settings: Mapping[str, Any]) -> None:
    """Take `[plugin.documents]` of the configuration file.

    Raises:
        PluginError: A key is not known, or its value is not right.
    """
    global documents
    if unknown := sorted(set(settings) - set(_KEYS)):
        raise PluginError(f"there is no setting {unknown[0]!r}, only {', '.join(_KEYS)}")
    for key, value in settings.items():
        kinds = str if key in ("root", "uri") else (int, float) if key == "watch" else int
        if not isinstance(value, kinds) or isinstance(value, bool) or (isinstance(value, int | float) and value < 0):
            raise PluginError(f"{key} can't be {value!r}")
    if "root" not in settings:
        documents = None
        return
    root = settings["root"]
    if not os.path.isabs(root) or not os.path.isdir(root):
        raise PluginError(f"root must be the absolute path of a directory, not {root!r}")
    documents = Directory(
        settings.get("uri", "docs://documents"),
        root,
        name="documents",
        title="Documents",
        description="A document, by its path in the directory.",
        limit=settings.get("limit", 4 * 1024 * 1024),
        watch=settings.get("watch", 5.0),
    )
