"""A conversation in a session, on a scripted web whose server shakes hands and takes notifications."""

from __future__ import annotations

import itertools
from typing import Any

from mcpserve.client.conversation import Outgoing
from mcpserve.client.legacy import Legacy
from mcpserve.client.session import initialize, session_of
from mcpserve.client.speaking import Speaking
from mcpserve.protocol.revisions import LATEST_LEGACY
from tests.client.scripted_web import Scene, ScriptedAnswer, Sent, begun, outcome

CALL = Outgoing(method="tools/call", params={"name": "add"})
READ = Outgoing(method="tools/list", repeatable=True)


class Stage(Scene):
    """A session that has begun.

    Args:
        revision: What the server speaks.
        session_id: The id of the first session; the next ones count on.
        get: What a GET without Last-Event-ID is answered with: a status, "stream", or None for not at all.
    """

    def __init__(
        self, *, revision: str = "2025-11-25", session_id: str | None = "s1", get: Any = 405, **options: Any
    ) -> None:
        super().__init__(**options)
        self.revision = revision
        self.session_id = session_id
        self.get = get
        self.doubts = 0
        self.web.rules |= {
            "initialize": self.shake_hands,
            "notifications/initialized": lambda sent: sent.answers(202),
            "notifications/cancelled": lambda sent: sent.answers(202),
            "an answer": lambda sent: sent.answers(202),
            "GET": self.listened,
            "DELETE": lambda sent: sent.answers(204),
        }
        ids = itertools.count(1)
        shaken = outcome(begun(initialize(self.endpoint, LATEST_LEGACY, next(ids))))
        session = session_of(shaken.response.result, shaken.session_id, "the server")
        self.speaking = Speaking(self.endpoint, LATEST_LEGACY, ids, self._doubt)
        self.talk = Legacy(self.endpoint, session, ids, self.speaking)

    def shake_hands(self, sent: Sent) -> None:
        """Answer `initialize`."""
        result = {"protocolVersion": self.revision, "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
        headers = {} if self.session_id is None else {"Mcp-Session-Id": self.session_id}
        sent.results(result, **headers)

    def listened(self, sent: Sent) -> None:
        """Answer a GET for the session's stream; one that resumes another stream is the test's."""
        if "Last-Event-ID" not in sent.headers and self.get is not None:
            if self.get == "stream":
                sent.streams()
            else:
                sent.answers(self.get)

    def _doubt(self) -> None:
        self.doubts += 1

    @property
    def call(self) -> Sent:
        """The last tools/call."""
        return self.web.last("tools/call")

    @property
    def standalone(self) -> ScriptedAnswer:
        """The stream of the session."""
        answer = self.web.last("GET").answer
        assert answer is not None
        return answer
