"""Keeps the events of streams in memory, so that the official SDKs let clients resume them."""

from mcp.server.streamable_http import EventMessage, EventStore


class Store(EventStore):
    """All events of all streams, in order; a witness is told when a stream is resumed."""

    def __init__(self, witness):
        self._events = []
        self._witness = witness

    async def store_event(self, stream_id, message):
        self._events.append((stream_id, message))
        return str(len(self._events))

    async def replay_events_after(self, last_event_id, send_callback):
        self._witness("resumed")
        begin = int(last_event_id)
        stream = self._events[begin - 1][0]
        for number, (stream_id, message) in enumerate(self._events[begin:], begin + 1):
            if stream_id == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream
