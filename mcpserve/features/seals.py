"""Sealed values: what a client carries for the server between two requests, without reading or changing it.

They are encrypted and authenticated (Fernet of the `cryptography` library: AES-CBC with HMAC-SHA-256), and good only
for the purpose they were made for, and for some time. They can be used more than once within that time.

Spec: 2026-07-28, Multi Round-Trip Requests, Server Requirements: "servers MUST treat requestState as an
attacker-controlled input".
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken
from twisted.internet.interfaces import IReactorTime

SEAL_TTL = 900.0
_NOT_OURS = "it was changed, or made for another request, or by another server"
"""One sentence for all: who brings what another caller was given learns nothing about it."""


class BrokenSeal(ValueError):
    """What the client brings is not what it was given, or not for this, or not any more."""


class Seals:
    """Seals values, and opens them again.

    Args:
        clock: Tells how old they are; owned by the caller.
        key: 32 bytes in URL-safe base64. Processes that share it open each other's. By default a random one.
        ttl: Seconds that one is good for.

    Raises:
        ValueError: The key has another form.
    """

    def __init__(self, clock: IReactorTime, key: str | None = None, ttl: float = SEAL_TTL) -> None:
        self._clock = clock
        self._fernet = Fernet(Fernet.generate_key() if key is None else key)
        self._ttl = ttl

    def seal(self, value: Any, purpose: str) -> str:
        """Seal a JSON value; `purpose` says what it is good for, and is compared when it is opened."""
        now = self._clock.seconds()
        payload = orjson.dumps({"for": purpose, "until": now + self._ttl, "value": value})
        return self._fernet.encrypt_at_time(payload, int(now)).decode("ascii")

    def open(self, sealed: str, purpose: str) -> Any:
        """Give a value back.

        Raises:
            BrokenSeal: It was changed, sealed with another key, for another purpose, or too long ago.
        """
        try:
            payload = orjson.loads(self._fernet.decrypt(_canonical(sealed)))
        except (InvalidToken, ValueError) as error:
            raise BrokenSeal(_NOT_OURS) from error
        if payload["for"] != purpose:
            raise BrokenSeal(_NOT_OURS)
        if self._clock.seconds() > payload["until"]:
            raise BrokenSeal("it has expired")
        return payload["value"]


def _canonical(sealed: str) -> bytes:
    """The token as bytes, if it is written as it was made.

    base64 can be spelled in several ways: characters outside of its alphabet are skipped, and so are the last bits.
    """
    try:
        token = sealed.encode("ascii")
        if base64.urlsafe_b64encode(base64.urlsafe_b64decode(token)) == token:
            return token
    except (UnicodeEncodeError, binascii.Error) as error:
        raise BrokenSeal(_NOT_OURS) from error
    raise BrokenSeal(_NOT_OURS)
