"""From a URL to a conversation: finding out in which era a server is to be talked to. What the answers mean stands in
`verdicts`; here they are asked for.

    2026-07-28   server/discover
    before       initialize, over Streamable HTTP
    2024-11-05   GET, over HTTP+SSE
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import attrs

from mcpserve.client import verdicts
from mcpserve.client.conversation import Conversation, Host, Outgoing
from mcpserve.client.eras import Era, Eras
from mcpserve.client.http_sse import open_http_sse
from mcpserve.client.legacy import Legacy
from mcpserve.client.limits import Terms, Timeouts
from mcpserve.client.modern import Modern, envelope
from mcpserve.client.posting import Endpoint, reply_to
from mcpserve.client.session import described, initialize
from mcpserve.client.speaking import Speaking
from mcpserve.client.web import Web
from mcpserve.errors import BadAnswer, ClientError, ConfigurationError, DeadlinePassed, Unauthorized, Unreachable
from mcpserve.protocol.metadata import SERVER_INFO
from mcpserve.protocol.revisions import LATEST_LEGACY, LEGACY, MODERN, V2026_07_28, Revision

PROBE = 15.0
"""Seconds that a server may take to answer the first question, before an older way is tried."""
_TIMES = 2
"""How often a server may send us to another version before that is taken for its answer."""


async def connect(host: Host, web: Web, url: str, terms: Terms, remembered: Eras | None = None) -> Conversation:
    """Begin a conversation with a server, in the newest way that both sides know.

    Args:
        host: Whom we talk for.
        web: What speaks HTTP; it is the caller's, who closes it after the conversation.
        url: The server's endpoint.
        terms: How long to wait, how much to take, how often to try; the one revision to speak, or None for the newest
            that both sides know.
        remembered: What is known of servers; what is found out is added.

    Raises:
        ClientError: There is no server, or none that we can talk to.
        ConfigurationError: There is no such revision.
    """
    revision = terms.revision
    if revision is not None and revision not in LEGACY and revision not in MODERN:
        raise ConfigurationError(f"There is no revision {revision!r}; there are {', '.join([*LEGACY, *MODERN])}")
    endpoint = Endpoint(host=host, web=web, url=url, terms=terms)
    eras = Eras() if remembered is None else remembered
    return await _Negotiation(endpoint, eras).run()


class _Negotiation:
    """One search for the way to talk to a server."""

    def __init__(self, endpoint: Endpoint, eras: Eras) -> None:
        self._endpoint = endpoint
        self._eras = eras
        self._only = endpoint.terms.revision
        self._ids = itertools.count(1)
        self._sent_on = 0

    async def run(self) -> Conversation:
        if self._only is not None:
            return await (self._modern(V2026_07_28) if self._only in MODERN else self._legacy())
        known = self._eras.recall(self._endpoint.url)
        try:
            if known is Era.LEGACY:
                return await self._legacy()
            if known is Era.HTTP_SSE:
                return await self._http_sse()
        except ClientError as error:
            if isinstance(error, Unreachable | Unauthorized) or _never_connected(error):
                raise
            # "re-probing if the cached assumption later fails"
            self._eras.forget(self._endpoint.url)
        return await self._modern(V2026_07_28)

    async def _modern(self, revision: Revision) -> Conversation:
        verdict = await self._discover(revision)
        if isinstance(verdict, verdicts.RetryWith):
            if self._sent_on == _TIMES:
                raise verdict.error
            self._sent_on += 1
            return await self._modern(verdict.revision)
        if isinstance(verdict, verdicts.Modern):
            server = described(verdict.result, verdict.revision, _server_info(verdict.result))
            self._eras.remember(self._endpoint.url, Era.MODERN)
            return Modern(self._endpoint, server, self._ids, self._doubt)
        if isinstance(verdict, verdicts.Failed):
            raise verdict.error
        if self._only is not None:
            raise BadAnswer(f"{self._endpoint.name} does not speak {self._only}: {verdict.why}")
        return await self._legacy()

    async def _discover(
        self, revision: Revision
    ) -> verdicts.Modern | verdicts.RetryWith | verdicts.Legacy | verdicts.Failed:
        endpoint = self._endpoint
        sent = envelope(Outgoing(method="server/discover"), endpoint.host, revision, next(self._ids))
        try:
            reply = await reply_to(endpoint, sent.headers, sent.body, _for_a_probe(endpoint.terms.timeouts))
        except ClientError as error:
            return verdicts.undiscovered(error)
        return verdicts.discovered(reply, endpoint.name)

    async def _legacy(self) -> Conversation:
        endpoint = self._endpoint
        revision = LATEST_LEGACY if self._only is None else LEGACY[self._only]
        verdict = verdicts.initialized(await initialize(endpoint, revision, next(self._ids)), endpoint.name)
        if isinstance(verdict, verdicts.RetryWith):
            if self._sent_on == _TIMES or self._only is not None:
                raise verdict.error
            self._sent_on += 1
            return await self._modern(verdict.revision)
        if isinstance(verdict, verdicts.TryHttpSse):
            return await self._instead(verdict.error)
        if isinstance(verdict, verdicts.Failed):
            raise verdict.error
        session = verdict.session
        if self._only not in (None, session.server.revision.name):
            raise BadAnswer(f"{endpoint.name} speaks {session.server.revision.name}, not {self._only}")
        speaking = Speaking(endpoint, revision, self._ids, self._doubt)
        await speaking.greet(session)
        self._eras.remember(endpoint.url, Era.LEGACY)
        return Legacy(endpoint, session, self._ids, speaking)

    async def _instead(self, error: ClientError) -> Conversation:
        """Try HTTP+SSE; if it is not that either, the first error tells more than that of the last resort."""
        if self._only not in (None, "2024-11-05"):
            raise error
        try:
            return await self._http_sse()
        except ClientError as last:
            raise error from last

    async def _http_sse(self) -> Conversation:
        at = self._endpoint
        conversation = await open_http_sse(at.host, at.web, at.url, at.terms)
        self._eras.remember(at.url, Era.HTTP_SSE)
        return conversation

    def _doubt(self) -> None:
        self._eras.forget(self._endpoint.url)


def _server_info(result: Mapping[str, Any]) -> Any:
    """Where a server says its name: in `_meta`; drafts of this revision had it in the result itself."""
    meta = result.get("_meta")
    return (meta.get(SERVER_INFO) if isinstance(meta, dict) else None) or result.get("serverInfo")


def _never_connected(error: ClientError) -> bool:
    return isinstance(error, DeadlinePassed) and error.which == "connect"


def _for_a_probe(timeouts: Timeouts) -> Timeouts:
    """An old server may well not answer what it does not know."""
    return attrs.evolve(timeouts, head=_at_most(timeouts.head), idle=_at_most(timeouts.idle))


def _at_most(seconds: float | None) -> float:
    return PROBE if seconds is None else min(seconds, PROBE)
