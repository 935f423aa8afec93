"""The client in asyncio Tasks: on real loops, in this process; and in a program of its own against a served fixture."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import BrowserLikePolicyForHTTPS

from mcpserve.client import Change, FormQuestion, Progress, RequestFacts, Result, Root, Text, Unauthorized
from mcpserve.client.agent import PoolAgent
from mcpserve.client.aio import AsyncClient, AsyncioCredentials
from mcpserve.client.limits import Timeouts
from mcpserve.client.looping import LoopReactor
from mcpserve.errors import ClientClosed, RemoteError
from tests.client.noting import PLUGIN, begun, ended, noted
from tests.client.scripted import Play, now, text, wants
from tests.client.server_certificate import pem
from tests.interop.served import serving

ASKED = wants("s", who=("elicitation/create", {"message": "Who?", "requestedSchema": {"type": "object"}}))


def on(play: Play, **options: Any) -> AsyncClient:
    """A client whose conversation a test plays."""
    return AsyncClient.through(play, reactor=play.clock, **options)


async def turned() -> None:
    """Let the other Tasks run."""
    for _ in range(5):
        await asyncio.wait([asyncio.ensure_future(asyncio.Event().wait())], timeout=0)


# --- what works


def test_a_with() -> None:
    """Inside it the client is open, many Tasks use it at once, and then it is closed."""

    async def main() -> None:
        play = Play(opened=False)
        async with on(play) as client:
            calling = asyncio.gather(*(client.call_tool("add", {"n": n}) for n in range(3)))
            await turned()
            for number, run in reversed(list(enumerate(play.runs))):
                run.answer(text(str(number)))
            assert [result.content for result in await calling] == [[Text("0")], [Text("1")], [Text("2")]]
            assert client.server is play.server
        assert play.ends == ["closed", "closed"]
        with pytest.raises(ClientClosed):
            await client.ping()

    asyncio.run(main())


def test_a_stream() -> None:
    """Events come in order, no faster than they are asked for; the result is the last."""

    async def main() -> None:
        play = Play(opened=False)
        async with on(play) as client:
            stream = client.stream_tool("count")
            first = asyncio.ensure_future(anext(stream))
            await turned()
            for value in (1, 2, 3):
                play.run.progress(value)
            play.run.answer(text("done"))
            assert await first == Progress(1)
            await turned()
            assert play.run.taken == 1
            rest = [event async for event in stream]
            assert rest[:2] == [Progress(2), Progress(3)]
            assert isinstance(rest[2], Result)

    asyncio.run(main())


def test_hearing_of_changes() -> None:
    """Within an `async with` the subscription stands."""

    async def main() -> None:
        play = Play(opened=False)
        async with on(play) as client:

            async def listen() -> Change:
                async with client.listen(tools=True) as subscription:
                    assert subscription.honoured == {"toolsListChanged": True}
                    return await anext(subscription)

            listening = asyncio.ensure_future(listen())
            await turned()
            play.run.notify("subscriptions/acknowledged", notifications={"toolsListChanged": True})
            await turned()
            play.run.notify("tools/list_changed")
            assert await listening == Change("notifications/tools/list_changed")
            assert play.run.cancelled == ["the client listens no more"]

    asyncio.run(main())


def test_errors_are_the_same() -> None:
    """As the client of Twisted raises them."""

    async def main() -> None:
        async with on(Play(opened=False, replies={"prompts/get": RemoteError(-32602, "no")})) as client:
            with pytest.raises(RemoteError, match="no"):
                await client.get_prompt("a")

    asyncio.run(main())


# --- cancelling


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_cancelling(how: str) -> None:
    """A cancelled Task and a timeout cancel the call on the server, before they go on here."""

    async def main() -> None:
        play = Play(opened=False)
        async with on(play) as client:
            if how == "cancel":
                calling = asyncio.ensure_future(client.call_tool("a"))
                await turned()
                calling.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await calling
            else:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await client.call_tool("a")
            assert play.run.cancelled == [None]
            play.replies["tools/call"] = text("next")
            assert (await client.call_tool("a")).content == [Text("next")]

    asyncio.run(main())


def test_leaving_a_loop() -> None:
    """Cancels the call at once."""

    async def main() -> None:
        play = Play(opened=False)
        async with on(play) as client:
            asyncio.get_running_loop().call_soon(lambda: play.run.progress(1))
            async for event in client.stream_tool("a"):
                assert event == Progress(1)
                break
            assert play.run.cancelled == [None]

    asyncio.run(main())


def test_another_task_closes_the_stream() -> None:
    """Who waits for its next event is told as with any future that somebody cancels."""

    async def main() -> None:
        play = Play(opened=False)
        async with on(play) as client:
            stream = client.stream_tool("a")
            waiting = asyncio.ensure_future(anext(stream))
            await turned()
            await stream.aclose()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert play.run.cancelled == [None]
            assert [event async for event in stream] == []

    asyncio.run(main())


def test_cancelling_waits_for_what_is_to_be_closed() -> None:
    """Opening that is cancelled ends when what was opened is closed; or when one cancels once more."""

    class Slow(Play):
        """Is closed when it may."""

        may: Deferred[None]

        async def close(self) -> None:
            """See `Play`."""
            await self.may
            await super().close()

    async def main(impatient: bool) -> None:
        play = Slow(opened=False)
        play.gate, play.may = Deferred(), Deferred()
        opening = asyncio.ensure_future(on(play).open())
        await turned()
        opening.cancel()
        await turned()
        assert not opening.done()
        if impatient:
            opening.cancel()
        else:
            play.may.callback(None)
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert play.ends == ([] if impatient else ["closed"])
        if impatient:
            play.may.callback(None)

    asyncio.run(main(False))
    asyncio.run(main(True))


# --- what the server asks


async def coroutine(question: FormQuestion) -> dict[str, str]:
    """Answers after a turn of the loop."""
    await asyncio.wait_for(asyncio.sleep(0), 1)  # noqa: TID251  # that is what one does in asyncio
    return {"name": question.message}


HANDLERS = [coroutine, lambda question: {"name": "Who?"}, lambda question: succeed({"name": "Who?"})]


@pytest.mark.parametrize("handler", HANDLERS)
def test_handlers(handler: Any) -> None:
    """Are coroutines of asyncio, plain functions, or give a Deferred."""

    async def main() -> None:
        play = Play(opened=False, replies={"tools/call": [ASKED, text("done")]})
        async with on(play, elicit=handler) as client:
            assert (await client.call_tool("a")).content == [Text("done")]
            assert play.run.params["inputResponses"] == {"who": {"action": "accept", "content": {"name": "Who?"}}}

    asyncio.run(main())


def test_handlers_end_with_the_call() -> None:
    """A handler that still waits when the call is cancelled is cancelled too."""

    async def main() -> None:
        ended = asyncio.Event()

        async def ask(question: FormQuestion) -> str:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return "accept"

        play = Play(opened=False, replies={"tools/call": ASKED})
        async with on(play, elicit=ask, roots=[Root("file:///a")]) as client:
            calling = asyncio.ensure_future(client.call_tool("a"))
            await turned()
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
            await asyncio.wait_for(ended.wait(), 1)

    asyncio.run(main())


def test_notices() -> None:
    """What belongs to no call may be heard by a coroutine, too."""

    async def main() -> None:
        heard: list[Any] = []

        async def ear(notice: Any) -> None:
            await coroutine(FormQuestion(message="", schema={}))
            heard.append(notice)

        play = Play(opened=False)
        client = on(play, on_notice=ear)
        async with client:
            calling = asyncio.ensure_future(client.call_tool("a"))
            await turned()
            play.run.notify("prompts/list_changed")
            play.run.answer(text("a"))
            await calling
            await turned()
        assert heard == [Change("notifications/prompts/list_changed")]

    asyncio.run(main())


def test_credentials() -> None:
    """Those that await things of asyncio are wrapped; what they raise is told."""

    class Vault:
        """Opens after a turn of the loop."""

        async def headers(self, request: RequestFacts) -> dict[str, str]:
            """See `Credentials`."""
            return await coroutine(FormQuestion(message=request.url, schema={}))

        async def challenged(self, challenge: Any) -> bool:
            """See `Credentials`."""
            return (await self.headers(challenge)) != {}

    async def main() -> None:
        credentials = AsyncioCredentials(Vault())
        facts = RequestFacts(method="POST", url="u", attempt=1)
        found = Deferred.fromCoroutine(credentials.headers(facts)).asFuture(asyncio.get_running_loop())
        assert await found == {"name": "u"}
        met = Deferred.fromCoroutine(credentials.challenged(facts)).asFuture(asyncio.get_running_loop())  # type: ignore[arg-type]
        assert await met is True

    asyncio.run(main())


# --- where it can't be used


def test_without_a_loop() -> None:
    """It says what to use instead."""
    with pytest.raises(
        RuntimeError, match=r"mcpserve\.client\.Client in .*, and mcpserve\.client\.sync in plain scripts"
    ):
        AsyncClient("http://example.org/mcp")


def test_on_another_loop() -> None:
    """A client of another loop would wait for ever; it says so at once."""

    async def make() -> AsyncClient:
        return AsyncClient("http://127.0.0.1:1/mcp")

    client = asyncio.run(make())

    async def use() -> None:
        with pytest.raises(RuntimeError, match="make one in each loop"):
            await client.open()

    asyncio.run(use())
    now(client._line.close())


# --- over sockets


def test_tls(tmp_path: Path) -> None:
    """Is spoken on the loop that the client is on, and not by the reactor that is installed."""
    path = tmp_path / "pem"
    path.write_bytes(pem("localhost"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    trust = BrowserLikePolicyForHTTPS(trustRootFromCertificates([Certificate.loadPEM(path.read_bytes())]))

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(refuse, "127.0.0.1", 0, ssl=context)
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}/mcp"
        agent = PoolAgent(LoopReactor(asyncio.get_running_loop()), idle=1, policy=trust)
        with pytest.raises(Unauthorized):
            await AsyncClient(url, agent=agent, timeouts=Timeouts(connect=5, head=5)).open()
        server.close()
        await server.wait_closed()

    asyncio.run(main())


PROGRAM = """
import asyncio, sys
from mcpserve.client.aio import AsyncClient

async def main(url, path):
    async with AsyncClient(url) as client:
        print((await client.call_tool("add", {"a": 1, "b": 2})).content[0].text)
        async with asyncio.timeout(5):
            async for event in client.stream_tool("wait", {"path": path}):
                print(event.message)
                break

asyncio.run(main(sys.argv[1], sys.argv[2]))
asyncio.run(main(sys.argv[1].replace("127.0.0.1", "localhost"), sys.argv[2]))
"""


def test_a_program(tmp_path: Path) -> None:
    """Runs its loop twice, leaves a loop over a stream, and ends; that cancels on the server."""
    plugins, note = tmp_path / "plugs", tmp_path / "note"
    plugins.mkdir()
    (plugins / "plugin.py").write_text(PLUGIN)
    with serving(tmp_path / "log", "--no-shipped", "--plugins", str(plugins)) as served:
        status, out, err = ended(begun(PROGRAM, served.url, str(note)))
        assert (status, err) == (0, "")
        assert out.splitlines() == ["3", "begun", "3", "begun"]
        assert noted(note) == "cancelled"
