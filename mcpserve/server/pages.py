"""The pages of a list, encoded once: a list changes rarely and is asked for often. Spec: Pagination; Caching."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import orjson

from mcpserve.errors import InvalidParams
from mcpserve.features.catalog import Catalog, Page
from mcpserve.policy.callers import Caller
from mcpserve.protocol import wire
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.revisions import Revision
from mcpserve.server.permits import Item, Permits, Views

T = TypeVar("T", bound=Item)

LIST_TTL_MS = 60_000


class Pages(Generic[T]):
    """What one method answers that lists a catalogue.

    Args:
        member: The member of the result that holds the list.
        shape: How one of its definitions looks on the wire.
        envelope: What the revision adds to a result.
        permits: Who sees what of it.
    """

    def __init__(
        self, member: str, shape: Callable[[Any, Revision], wire.Object], envelope: wire.Envelope, permits: Permits
    ) -> None:
        self._views = Views[T](permits)
        self._member = member
        self._shape = shape
        self._envelope = envelope

    def answer(self, catalog: Catalog[T], exchange: Exchange, caller: Caller) -> None:
        """Answer with the page that the request asks for.

        What a caller sees keeps its encoded pages: they are shared by all who see the same, and go when it goes.

        Args:
            catalog: What is served now.
            exchange: The request.
            caller: Who asks.

        Raises:
            InvalidParams: The cursor is none of ours.
        """
        cursor = exchange.request.params.get("cursor")
        if cursor is not None and not isinstance(cursor, str):
            raise InvalidParams("cursor must be a string")
        catalog = self._views.of(catalog, caller)
        # Who had to say who he is may see what nobody else may: no cache gives it to strangers.
        scope = "public" if catalog.shared and caller.name is None else "private"
        key = (exchange.revision.name, cursor, scope)
        page = catalog.encoded.get(key)
        if page is None:
            found = catalog.page(cursor)
            page = self._encode(found, exchange.revision, scope)
            # Any item has a cursor: only pages that somebody finds who starts at the beginning are worth the memory.
            if cursor is None or key in catalog.encoded:
                catalog.encoded[key] = page
                catalog.encoded.setdefault((exchange.revision.name, found.next_cursor, scope), None)
        exchange.succeed(page)

    def _encode(self, page: Page[T], revision: Revision, scope: str) -> orjson.Fragment:
        shape: wire.Object = {self._member: [self._shape(item.definition, revision) for item in page.items]}
        if page.next_cursor is not None:
            shape["nextCursor"] = page.next_cursor
        # "Servers MUST apply the same cacheScope to all response pages for a given list request."
        result = self._envelope.cacheable(shape, revision, ttl_ms=LIST_TTL_MS, scope=scope)
        return orjson.Fragment(orjson.dumps(result))
