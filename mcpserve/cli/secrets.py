"""Secrets on a command line: where one is, never the secret itself, as all users of a machine see all command lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from mcpserve.client.credentials import ApiKey, BearerToken, Credentials, from_environment
from mcpserve.errors import ConfigurationError

PLAIN = "plain:"
ENVIRONMENT = "env:"
WHERE = f"{ENVIRONMENT}NAME (an environment variable), @FILE, or @- (standard input)"


def read_secret(place: str, option: str, environment: Mapping[str, str], standard_input: TextIO) -> str:
    """Read a secret from where it is.

    Args:
        place: `env:NAME`, `@FILE`, `@-` for standard input, or `plain:SECRET`, if somebody insists.
        option: The option that says so, for errors.
        environment: The environment variables.
        standard_input: Standard input.

    Raises:
        ConfigurationError: It is not there, or it was written down where others see it.
    """
    if place.startswith(PLAIN):
        return place.removeprefix(PLAIN)
    if place.startswith(ENVIRONMENT):
        name = place.removeprefix(ENVIRONMENT)
        if not environment.get(name):
            raise ConfigurationError(f"{option}: the environment variable {name} is not set")
        return environment[name]
    if place == "@-":
        return standard_input.readline().strip()
    if place.startswith("@"):
        return _read_file(place[1:], option)
    raise ConfigurationError(
        f"{option} takes {WHERE}: what stands on a command line is seen by other users; {PLAIN}SECRET insists"
    )


def credentials_of(
    token: str | None, api_key: str | None, environment: Mapping[str, str], standard_input: TextIO
) -> Credentials | None:
    """The credentials that the options name, or else the environment.

    Raises:
        ConfigurationError: They are not there, can't be used, or there are two.
    """
    if token is not None and api_key is not None:
        raise ConfigurationError("--token and --api-key can't be used together")
    if token is not None:
        return BearerToken(read_secret(token, "--token", environment, standard_input))
    if api_key is not None:
        return ApiKey(read_secret(api_key, "--api-key", environment, standard_input))
    return from_environment(environment)


def _read_file(path: str, option: str) -> str:
    try:
        secret = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{option}: can't read {path}: {error}") from error
    if not secret:
        raise ConfigurationError(f"{option}: {path} is empty")
    return secret
