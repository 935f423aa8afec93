"""Who may come in, as the settings say it: keys, tokens, or everybody."""

from __future__ import annotations

from typing import Any

from mcpserve.errors import ConfigurationError
from mcpserve.service.settings import Settings
from mcpserve.web.admission import Identity


def identity(reactor: Any, settings: Settings) -> Identity | None:
    """What finds out who is calling; None where nobody is asked.

    Raises:
        ConfigurationError: The settings do not fit together, or the file of keys can't be read.
    """
    if settings.keys or settings.issuers or settings.introspection:
        raise ConfigurationError("keys, issuers and introspection are not served yet")
    return None
