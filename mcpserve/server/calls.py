"""The calls that run now, of tools, prompts and resources: how each begins, and how many may run at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from mcpserve.errors import Busy, ProtocolError, ToolError
from mcpserve.features.awaiting import abandon, is_awaitable
from mcpserve.features.call import Cause, Runtime
from mcpserve.policy.callers import Caller
from mcpserve.policy.capacity import Places
from mcpserve.policy.rates import ToolRates
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.server.asking import brought
from mcpserve.server.observing import Observer
from mcpserve.server.running import Answers, Running, Served, TaskOffer, fail


@attrs.frozen(kw_only=True)
class CallLimits:
    """How many calls may run at once.

    Args:
        calls: In total.
        of_caller: Of one party; None for as many as there may be in total.
    """

    calls: int = 10_000
    of_caller: int | None = None


class Calls:
    """All calls of a server that run.

    Args:
        runtime: What they run on.
        limits: How many may run.
        rates: How often tools may be called, if that is bounded.
        observer: Who watches, if anybody does.
    """

    def __init__(
        self,
        runtime: Runtime,
        limits: CallLimits = CallLimits(),
        rates: ToolRates | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.runtime = runtime
        self.observer = observer
        self.rates = rates
        self.places = Places("calls", "max_calls", limits.calls, limits.of_caller)
        self.running: dict[Running, str] = {}
        """What runs, and of which party."""

    def cancel_all(self, cause: Cause) -> None:
        """Cancel what runs."""
        for running in list(self.running):
            running.cancel(cause)


class Runner:
    """Runs what is served of one kind.

    Args:
        calls: Where what runs is counted, together with the other kinds.
        answers: How a call of this kind is answered.
        rates: How often each may be called, if that is bounded.
        beside: What runs the same, and answers it in another way; what runs is counted together.
    """

    def __init__(
        self, calls: Calls, answers: Answers, rates: ToolRates | None = None, beside: Runner | None = None
    ) -> None:
        self._calls = calls
        self._answers = answers
        self._rates = rates
        self._counts: dict[str, int] = {} if beside is None else beside._counts

    def expect(self, served: Served, caller: Caller) -> None:
        """See that there will be a place, before anything is done for the call.

        Raises:
            Busy: There is none.
        """
        if not served.plain:
            self._calls.places.check(caller.party)

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

        Raises:
            Busy: It was called too often, or too much runs.
        """
        if self._rates is not None:
            self._rates.take(served.name, caller.party, self._calls.runtime.clock.seconds())
        if served.plain:
            # It asks nothing; but what it brings along must be good all the same.
            brought(exchange.request, metadata, caller, self._calls.runtime.seals)
            self._answer(served, arguments, exchange, caller)
            return
        running = self._admit(served, exchange, caller)
        if running is not None:
            running.start(arguments, metadata, caller, self._calls.runtime, offer)

    def _answer(self, served: Served, arguments: Mapping[str, Any], exchange: Exchange, caller: Caller) -> None:
        """The short way for a plain function: no call object is made."""
        try:
            value = served.function(**served.bind(arguments))
            if is_awaitable(value):
                self._adopt(served, value, exchange, caller)
            else:
                self._answers.succeed(served, value, exchange)
        except ProtocolError:
            raise
        except BaseException as error:  # sys.exit() in a function is the function's failure, not the server's end
            fail(served, error, exchange, self._answers, self._calls.observer)

    def _adopt(self, served: Served, awaitable: Any, exchange: Exchange, caller: Caller) -> None:
        try:
            running = self._admit(served, exchange, caller)
        except Busy:
            abandon(awaitable)
            raise
        if running is None:
            abandon(awaitable)
        else:
            running.adopt(awaitable)

    def _admit(self, served: Served, exchange: Exchange, caller: Caller) -> Running | None:
        """Make room for one more running call, or answer that this tool has none.

        Raises:
            Busy: The server has none, or none for this caller.
        """
        count = self._counts.get(served.name, 0)
        most = served.options.max_concurrent
        if most is not None and count >= most:
            text = f"{served.name} is busy: {count} calls are running already. Try again later."
            self._answers.refuse(ToolError(text), exchange)
            return None
        party = caller.party
        self._calls.places.take(party)
        self._counts[served.name] = count + 1
        running = Running(served, exchange, self._answers, self._ended, self._calls.observer)
        self._calls.running[running] = party
        return running

    def _ended(self, running: Running) -> None:
        party = self._calls.running.pop(running, None)
        if party is not None:
            self._calls.places.give_back(party)
        name = running.served.name
        if running.cause is not None and self._calls.observer is not None:
            self._calls.observer.cancelled(self._answers.noun, name, running.cause)
        left = self._counts.get(name, 1) - 1
        if left:
            self._counts[name] = left
        else:
            self._counts.pop(name, None)
