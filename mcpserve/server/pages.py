"""The pages of a list, encoded once: a list changes rarely and is asked for often. Spec: Pagination; Caching."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import orjson

from mcpserve.errors import InvalidParams
from mcpserve.features.catalog import Catalog, Listed
from mcpserve.protocol import wire
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.revisions import Revision

T = TypeVar("T", bound=Listed)

LIST_TTL_MS = 60_000


class Pages(Generic[T]):
    """What one method answers that lists a catalogue.

    Args:
        member: The member of the result that holds the list.
        shape: How one of its definitions looks on the wire.
        envelope: What the revision adds to a result.
    """

    def __init__(self, member: str, shape: Callable[[Any, Revision], wire.Object], envelope: wire.Envelope) -> None:
        self._member = member
        self._shape = shape
        self._envelope = envelope
        self._catalog: Catalog[T] | None = None
        self._encoded: dict[tuple[str, str | None], orjson.Fragment] = {}

    def answer(self, catalog: Catalog[T], exchange: Exchange) -> None:
        """Answer with the page that the request asks for.

        Args:
            catalog: What is served now; another one than before makes the encoded pages void.
            exchange: The request.

        Raises:
            InvalidParams: The cursor is none of ours.
        """
        if catalog is not self._catalog:
            self._catalog = catalog
            self._encoded.clear()
        cursor = exchange.request.params.get("cursor")
        if cursor is not None and not isinstance(cursor, str):
            raise InvalidParams("cursor must be a string")
        key = (exchange.revision.name, cursor)
        page = self._encoded.get(key)
        if page is None:
            page = self._encoded[key] = self._encode(catalog, cursor, exchange.revision)
        exchange.succeed(page)

    def _encode(self, catalog: Catalog[T], cursor: str | None, revision: Revision) -> orjson.Fragment:
        page = catalog.page(cursor)
        shape: wire.Object = {self._member: [self._shape(item.definition, revision) for item in page.items]}
        if page.next_cursor is not None:
            shape["nextCursor"] = page.next_cursor
        # "Servers MUST apply the same cacheScope to all response pages for a given list request."
        result = self._envelope.cacheable(shape, revision, ttl_ms=LIST_TTL_MS, scope="public")
        return orjson.Fragment(orjson.dumps(result))
