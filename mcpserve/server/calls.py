"""The calls that run now, of tools, prompts and resources: how each begins, and how many may run at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from mcpserve.errors import ProtocolError, ToolError
from mcpserve.features.awaiting import abandon, is_awaitable
from mcpserve.features.call import Cause, Runtime
from mcpserve.policy.callers import Caller
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.server.asking import brought
from mcpserve.server.running import Answers, Running, Served, TaskOffer, fail


@attrs.frozen(kw_only=True)
class CallLimits:
    """How many calls may run at once, in total."""

    calls: int = 10_000


class Calls:
    """All calls of a server that run.

    Args:
        runtime: What they run on.
        limits: How many may run.
    """

    def __init__(self, runtime: Runtime, limits: CallLimits = CallLimits()) -> None:
        self.runtime = runtime
        self.limits = limits
        self.running: dict[Running, None] = {}

    def cancel_all(self, cause: Cause) -> None:
        """Cancel what runs."""
        for running in list(self.running):
            running.cancel(cause)


class Runner:
    """Runs what is served of one kind.

    Args:
        calls: Where what runs is counted, together with the other kinds.
        answers: How a call of this kind is answered.
    """

    def __init__(self, calls: Calls, answers: Answers) -> None:
        self._calls = calls
        self._answers = answers
        self._counts: dict[str, int] = {}

    def run(
        self,
        served: Served,
        arguments: Mapping[str, Any],
        exchange: Exchange,
        metadata: RequestMetadata,
        caller: Caller,
        offer: TaskOffer | None = None,
    ) -> None:
        """Call a function with arguments that were found valid, and answer now or later, through the exchange.

        Args:
            served: The function.
            arguments: Its arguments.
            exchange: Where it is answered.
            metadata: What is known of the request.
            caller: Who calls.
            offer: The task that the call may become.
        """
        if served.plain:
            # It asks nothing; but what it brings along must be good all the same.
            brought(exchange.request, metadata, caller, self._calls.runtime.seals)
            self._answer(served, arguments, exchange)
            return
        running = self._admit(served, exchange)
        if running is not None:
            running.start(arguments, metadata, caller, self._calls.runtime, offer)

    def _answer(self, served: Served, arguments: Mapping[str, Any], exchange: Exchange) -> None:
        """The short way for a plain function: no call object is made."""
        try:
            value = served.function(**served.bind(arguments))
            if is_awaitable(value):
                self._adopt(served, value, exchange)
            else:
                self._answers.succeed(served, value, exchange)
        except ProtocolError:
            raise
        except BaseException as error:  # sys.exit() in a function is the function's failure, not the server's end
            fail(served, error, exchange, self._answers)

    def _adopt(self, served: Served, awaitable: Any, exchange: Exchange) -> None:
        running = self._admit(served, exchange)
        if running is None:
            abandon(awaitable)
        else:
            running.adopt(awaitable)

    def _admit(self, served: Served, exchange: Exchange) -> Running | None:
        """Make room for one more running call, or answer that there is none."""
        count, all_running = self._counts.get(served.name, 0), self._calls.running
        most = served.options.max_concurrent
        if most is not None and count >= most:
            text = f"{served.name} is busy: {count} calls are running already. Try again later."
            self._answers.refuse(ToolError(text), exchange)
            return None
        if len(all_running) >= self._calls.limits.calls:
            text = f"The server is busy: {len(all_running)} calls are running. Try again later."
            self._answers.refuse(ToolError(text), exchange)
            return None
        self._counts[served.name] = count + 1
        running = Running(served, exchange, self._answers, self._ended)
        all_running[running] = None
        return running

    def _ended(self, running: Running) -> None:
        self._calls.running.pop(running, None)
        name = running.served.name
        left = self._counts.get(name, 1) - 1
        if left:
            self._counts[name] = left
        else:
            self._counts.pop(name, None)
