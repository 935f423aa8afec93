"""What ends when nobody wants it any more."""

from __future__ import annotations

from abc import abstractmethod
from typing import Self


class Leavable:
    """An async iterator that is cancelled when its `async with` is left, or when its life ends; in CPython that is the
    moment in which a loop over it is left.
    """

    __slots__ = ()

    @abstractmethod
    def cancel(self) -> None:
        """End it without waiting. Once more does no harm."""

    def __aiter__(self) -> Self:
        return self

    async def __aexit__(self, *reason: object) -> None:
        self.cancel()

    def __del__(self) -> None:
        self.cancel()
