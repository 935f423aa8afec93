"""Messages over HTTP: what is common to all revisions of Streamable HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs
from twisted.internet.defer import TimeoutError, ensureDeferred
from twisted.internet.interfaces import IReactorTime

from mcpserve.client.conversation import Host
from mcpserve.client.credentials import quotable
from mcpserve.client.limits import Terms, Timeouts
from mcpserve.client.messages import error_code, read
from mcpserve.client.web import Answer, Web
from mcpserve.errors import AnswerLost, AnswerTooLarge, BadAnswer, ClientError, DeadlinePassed, Refused, RemoteError
from mcpserve.protocol.jsonrpc import Notification, Response

JSON = "application/json"
STREAM = "text/event-stream"
POST_HEADERS = {"Content-Type": JSON, "Accept": f"{JSON}, {STREAM}"}
"""Spec: "The client MUST include an Accept header, listing both"."""

PATIENCE = 1.0
"""Seconds that a stream may take to end after its response: then its connection is not worth keeping."""
HASTE = 0.05
"""The same, where somebody waits for it."""
_SHOWN = 200


@attrs.frozen(kw_only=True)
class Endpoint:
    """A server's endpoint, for whom we talk to it, and how patiently.

    Args:
        host: The client.
        web: What speaks HTTP.
        url: The endpoint.
        terms: How long to wait, how much to take, how often to try.
    """

    host: Host
    web: Web
    url: str
    terms: Terms

    @property
    def name(self) -> str:
        """The endpoint as messages name it: without a query, which may hold secrets."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@attrs.frozen(kw_only=True)
class Reply:
    """What came back on one request, for who wants all of it at once.

    Args:
        status: The HTTP status.
        response: The JSON-RPC response in it, if there is one.
        session_id: `Mcp-Session-Id`.
        error: What is to be raised if that is not what was wanted.
    """

    status: int
    response: Response | None = None
    session_id: str | None = None
    error: ClientError


def succeeded(answer: Answer) -> bool:
    """Tell whether the status is a good one."""
    return 200 <= answer.status < 300


def is_stream(answer: Answer) -> bool:
    """Tell whether events are to come."""
    return succeeded(answer) and answer.media_type == STREAM


async def refusal(answer: Answer, name: str) -> Response | Refused:
    """Read what a bad status means: a JSON-RPC error if the body is one, else what is to be raised.

    Args:
        answer: An answer with a status that is not a good one; it is read to its end.
        name: The endpoint, as messages name it.
    """
    said = ""
    try:
        body = await answer.whole()
        error = _error_in(body)
        if error is not None:
            return error
        if answer.media_type == "text/plain":
            said = f": {quotable(body, answer.secrets)[:_SHOWN]}"
    except (AnswerLost, AnswerTooLarge, DeadlinePassed):
        answer.abort()
    return Refused(f"{name} answered {answer.status}{said}", answer.status, retry_after(answer))


def _error_in(body: bytes) -> Response | None:
    try:
        messages = read(body)
    except BadAnswer:
        return None
    found = messages[0]
    return found if isinstance(found, Response) and found.error is not None else None


def retry_after(answer: Answer) -> float | None:
    """`Retry-After` in seconds, if it is a number."""
    value = (answer.header("Retry-After") or "").strip()
    return float(value) if value.isascii() and value.isdigit() and len(value) < 10 else None


async def finish(answer: Answer, clock: IReactorTime, patience: float = PATIENCE) -> None:
    """Let a stream end whose response has come, so that its connection can be used again; but not for long."""
    ending = ensureDeferred(answer.next_event())
    if not ending.called:
        ending.addTimeout(patience, clock)
    try:
        await ending
    except (ClientError, TimeoutError):
        pass
    finally:
        answer.abort()


async def reply_to(endpoint: Endpoint, headers: Mapping[str, str], body: bytes, timeouts: Timeouts | None) -> Reply:
    """Send one request, and read the one response to it. What else is said before goes to the host.

    Raises:
        ClientError: There is no answer at all: see `Web.send`.
    """
    answer = await endpoint.web.send("POST", endpoint.url, {**POST_HEADERS, **headers}, body, timeouts)
    response, error = await _outcome(endpoint, answer)
    session_id = answer.header("Mcp-Session-Id")
    return Reply(status=answer.status, response=response, session_id=session_id, error=error)


async def _outcome(endpoint: Endpoint, answer: Answer) -> tuple[Response | None, ClientError]:
    try:
        if not succeeded(answer):
            refused = await refusal(answer, endpoint.name)
            if isinstance(refused, Refused):
                return None, refused
            return refused, Refused(f"{endpoint.name} answered {answer.status}", answer.status)
        if is_stream(answer):
            return await _streamed(endpoint, answer), BadAnswer(f"{endpoint.name} answered nonsense")
        return _single(await answer.whole()), BadAnswer(f"{endpoint.name} answered with something else than MCP")
    except ClientError as error:
        return None, error
    finally:
        answer.abort()


def _single(body: bytes) -> Response | None:
    found = [message for message in read(body) if isinstance(message, Response)] if body.strip() else []
    return found[0] if found else None


async def _streamed(endpoint: Endpoint, answer: Answer) -> Response:
    while True:
        event = await answer.next_event()
        if event is None:
            raise AnswerLost(f"{endpoint.name} ended a stream before its result came")
        for message in read(event.data) if event.type == "message" else ():
            if isinstance(message, Response):
                await finish(answer, endpoint.terms.clock, HASTE)
                return message
            if isinstance(message, Notification):
                endpoint.host.heard(message)


async def tell(endpoint: Endpoint, headers: Mapping[str, str], body: bytes, timeouts: Timeouts | None) -> None:
    """Send what wants no response: a notification, or a response of ours.

    Raises:
        Refused: The status was not a good one.
        RemoteError: The same, and the server said why.
        ClientError: See `Web.send`.
    """
    _, error = await told(endpoint, headers, body, timeouts)
    if error is not None:
        raise error


async def told(
    endpoint: Endpoint, headers: Mapping[str, str], body: bytes, timeouts: Timeouts | None
) -> tuple[int, Refused | RemoteError | None]:
    """The same as `tell`, but what the server says is given back: the status, and what it means if it is a bad one."""
    answer = await endpoint.web.send("POST", endpoint.url, {**POST_HEADERS, **headers}, body, timeouts)
    try:
        if not succeeded(answer):
            return answer.status, raised(await refusal(answer, endpoint.name))
        if not is_stream(answer):
            await answer.whole()
    except (AnswerLost, AnswerTooLarge):
        pass  # The status says that it was taken.
    finally:
        answer.abort()
    return answer.status, None


def raised(refused: Response | Refused) -> Refused | RemoteError:
    """What is raised for a refusal, where no response is wanted that could be returned."""
    return refused if isinstance(refused, Refused) else remote_error(refused.error or {})


def remote_error(error: Mapping[str, Any]) -> RemoteError:
    """A JSON-RPC error as an exception."""
    code, message = error_code(error), error.get("message")
    said = message if isinstance(message, str) else "The server answered with an error that says nothing"
    return RemoteError(0 if code is None else code, said, error.get("data"))
