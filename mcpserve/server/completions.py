"""The method completion/complete. Spec: Completion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import attrs

from mcpserve.errors import InternalError, InvalidParams, ToolError
from mcpserve.features.completion import Completer, to_completion
from mcpserve.features.prompt import Prompt
from mcpserve.features.resource import Resource
from mcpserve.policy.callers import Caller
from mcpserve.protocol import offers, wire
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.metadata import RequestMetadata
from mcpserve.protocol.revisions import Revision
from mcpserve.protocol.types import Completion
from mcpserve.server.calls import Calls, Runner
from mcpserve.server.dispatch import Method
from mcpserve.server.permits import Permits
from mcpserve.server.prompts import Prompts, texts
from mcpserve.server.resources import Resources


class Completions:
    """Suggestions for arguments. Implements `Feature`.

    Args:
        prompts: Whose arguments are completed.
        resources: Whose variables are completed.
        envelope: What the revision adds to a result.
        calls: Where calls run.
        permits: Who may use what.
    """

    def __init__(
        self,
        prompts: Prompts,
        resources: Resources,
        envelope: wire.Envelope,
        calls: Calls,
        permits: Permits | None = None,
    ) -> None:
        self._prompts = prompts
        self._resources = resources
        self._permits = permits or Permits()
        self._calls = calls
        self._envelope = envelope
        self._answers = CompletionAnswers(envelope)
        self._runner = Runner(calls, self._answers)
        self.methods: Mapping[str, Method] = {
            "completion/complete": Method(run=self.complete, served=self._any),
        }

    def capabilities(self, revision: Revision) -> dict[str, Any]:
        """What is declared of completions."""
        return {"completions": {}} if self._any() else {}

    def complete(self, exchange: Exchange, metadata: RequestMetadata, caller: Caller) -> None:
        """completion/complete: find the argument, and ask its completer."""
        params = exchange.request.params
        target = self._target(params.get("ref"), exchange, caller)
        name, value = _argument(params.get("argument"))
        if name not in target.arguments.names:
            raise InvalidParams(f"There is no argument {name[:128]!r} to complete")
        context = params.get("context")
        if context is not None and not isinstance(context, dict):
            raise InvalidParams("context must be an object")
        chosen = texts((context or {}).get("arguments"), "context.arguments")
        completer = target.completers.get(name)
        if completer is None:
            self._answers.reply(Completion([]), exchange)
        else:
            arguments = {"value": value, "chosen": chosen}
            runner = self._runner
            if isinstance(target, Resource) and self._permits.varies(target):
                answers = CompletionAnswers(self._envelope, self._readable(target, name, chosen, caller))
                runner = Runner(self._calls, answers, beside=self._runner)
            runner.run(completer, arguments, exchange, metadata, caller)

    def _readable(
        self, template: Resource, name: str, chosen: Mapping[str, str], caller: Caller
    ) -> Callable[[str], bool]:
        """Tells of a suggestion whether the caller may read what it leads to; else it would tell names of files."""
        variables = template.template.variables

        def readable(value: str) -> bool:
            values = {other: text for other, text in chosen.items() if other in variables} | {name: value}
            return self._resources.tells(template.template.expand(values), caller)

        return readable

    def _target(self, reference: Any, exchange: Exchange, caller: Caller) -> Prompt | Resource:
        if not isinstance(reference, dict):
            raise InvalidParams("ref must be an object")
        kind = reference.get("type")
        member = {"ref/prompt": "name", "ref/resource": "uri"}.get(kind) if isinstance(kind, str) else None
        if member is None:
            raise InvalidParams("ref.type must be 'ref/prompt' or 'ref/resource'")
        name = reference.get(member)
        if not isinstance(name, str):
            raise InvalidParams(f"ref.{member} must be a string")
        of_prompt = kind == "ref/prompt"
        found = self._prompts.find(name, exchange, caller) if of_prompt else self._resource(name, exchange, caller)
        if found is None:
            raise InvalidParams(f"Unknown {'prompt' if of_prompt else 'resource'}: {name[:128]}")
        return found

    def _resource(self, uri: str, exchange: Exchange, caller: Caller) -> Resource | None:
        """Completion, Data Types: "uri is a URI or URI template"."""
        template = self._resources.library.templates.get(uri)
        if template is not None:
            return template if self._permits.allows(template, caller, exchange.revision) else None
        found = self._resources.find(uri, exchange.revision, caller)
        return None if found is None else found[0]

    def _any(self) -> bool:
        served: list[Prompt | Resource] = [*self._prompts.catalog, *self._resources.library.templates]
        return any(one.completers for one in served)


@attrs.frozen
class CompletionAnswers:
    """How completion/complete is answered.

    Args:
        envelope: What the revision adds to a result.
        keeps: Tells which suggestions are for the caller; without it, all are.
    """

    noun: ClassVar[str] = "completer"
    envelope: wire.Envelope
    keeps: Callable[[str], bool] | None = None

    def succeed(self, served: Completer, value: object, exchange: Exchange) -> None:
        """See `Answers.succeed`."""
        completion = to_completion(value)
        if self.keeps is not None:
            # how many there are in all is not for everybody either
            completion = Completion(list(filter(self.keeps, completion.values)), has_more=completion.has_more)
        self.reply(completion, exchange)

    def refuse(self, error: ToolError, exchange: Exchange) -> None:
        """See `Answers.refuse`."""
        exchange.fail(InternalError(str(error)))

    def reply(self, completion: Completion, exchange: Exchange) -> None:
        """Reply with suggestions."""
        result = offers.completion_result(completion)
        exchange.succeed(self.envelope.complete(result, exchange.revision))


def _argument(value: Any) -> tuple[str, str]:
    if not isinstance(value, dict):
        raise InvalidParams("argument must be an object")
    name, text = value.get("name"), value.get("value")
    if not isinstance(name, str) or not isinstance(text, str):
        raise InvalidParams("argument.name and argument.value must be strings")
    return name, text
