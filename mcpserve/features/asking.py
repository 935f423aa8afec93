"""Asking the client: what authors of plugins write, and what they get back.

    answer = await call.elicit("Your name?", Name)          # Name is an attrs class
    answer.action                                           # "accept", "decline" or "cancel"
    answer.form.first                                       # the filled-in form; declined, it fails the call

    said = await call.sample("What is the capital of France?")
    roots = await call.roots()
    answers = await call.ask(name=Elicit("Your name?", Name), capital=Sample("The capital of France?"))

It reads the same in both eras. In the revisions with a handshake the call waits for the answer. In 2026-07-28 the call
ends with its questions, and the function runs again from its start when the client comes back with the answers; so it
must ask the same again up to there, in the same order or with the same keys, and do what can't be done twice in
`call.once`.

Spec: Elicitation; Sampling; Roots; 2026-07-28, Multi Round-Trip Requests.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, Protocol, TypedDict, TypeVar, Unpack, overload
from urllib.parse import urlsplit

import attrs
from twisted.internet.defer import Deferred

from mcpserve.errors import AskError, ToolError
from mcpserve.features.forms import Form, form_of
from mcpserve.protocol import inputs
from mcpserve.protocol.inputs import Action, InputRequest, Root, Sampled, SamplingMessage
from mcpserve.protocol.revisions import Revision
from mcpserve.protocol.wire import present

T = TypeVar("T")

MAX_TOKENS = 1000
_ACTS = {"decline": "declined to answer", "cancel": "dismissed the question"}


class Question(Protocol):
    """Something that a client can be asked.

    Attributes:
        kind: One word for it, for keys: "elicit", "sample", "roots".
    """

    @property
    def kind(self) -> str: ...

    def request(self, key: str, revision: Revision) -> InputRequest:
        """Its form on the wire. Raises AskError where the revision does not know it."""

    def read(self, result: Any) -> Any:
        """What the author gets for an answer. Raises ValueError, with a sentence, for one that does not fit."""


@attrs.frozen
class Answer(Generic[T]):
    """What a user did with a question.

    Attributes:
        action: "accept", "decline" (said no) or "cancel" (said nothing).
    """

    action: Action
    _form: T | None = None

    @property
    def accepted(self) -> bool:
        """True when the user agreed."""
        return self.action == "accept"

    @property
    def form(self) -> T:
        """The form as the user filled it in.

        Raises:
            ToolError: The user did not agree. Who does not look before ends the call so, which is often right.
        """
        if not self.accepted:
            raise ToolError(f"The user {_ACTS[self.action]}")
        return self._form  # type: ignore[return-value]


class Elicit(Generic[T]):
    """A question to the user, with a form to fill in.

    Args:
        message: What is asked, and why. Never ask for secrets so: that is for `ElicitUrl`.
        form: An attrs class (a dataclass, a TypedDict, a NamedTuple) of flat fields; or a JSON Schema with no more than
            the specification allows; or None, for what is only agreed to.

    Raises:
        UnsupportedHint: The class has a field that no client could show.
        ValueError: The schema has what the specification does not allow.

    Spec: Elicitation, Form Mode Elicitation Requests.
    """

    kind = "elicit"

    @overload
    def __init__(self: Elicit[dict[str, Any]], message: str, form: Mapping[str, Any] | None = None) -> None: ...
    @overload
    def __init__(self, message: str, form: type[T]) -> None: ...

    def __init__(self, message: str, form: Any = None) -> None:
        self.message = message
        self.form: Form[Any] = form_of(form)

    def request(self, key: str, revision: Revision) -> InputRequest:
        """See `Question.request`."""
        if not revision.elicitation:
            raise AskError(f"This client can't be asked: revision {revision.name} has no elicitation")
        schema = self.form.schema_for(revision)
        if schema is None:
            raise AskError(f"This client can't be asked: revision {revision.name} has no choice of several in forms")
        params = {"message": self.message, "requestedSchema": schema}
        return InputRequest(key=key, method="elicitation/create", params=params, needs=inputs.FORM)

    def read(self, result: Any) -> Answer[T]:
        """See `Question.read`."""
        action, content = inputs.read_elicitation(result)
        return Answer(action, self.form.read(content) if action == "accept" else None)


class ElicitUrl:
    """A page that the user should visit: for secrets, payments, and permissions that others give.

    An answer that accepts says that the user agreed to go there, not what came of it.

    Args:
        message: Why the user should go there.
        url: The page. Nothing in it may be secret, nor let its reader in somewhere; and who opens it may be another
            person than who asked, so the page has to find out.
        id: Names this visit in 2025-11-25; by default a random one.

    Raises:
        ValueError: The URL is not absolute.

    Spec: Elicitation, URL Mode Elicitation Requests; Safe URL Handling.
    """

    kind = "elicit"

    def __init__(self, message: str, url: str, id: str | None = None) -> None:
        parts = urlsplit(url)
        if not (parts.scheme and parts.netloc):
            raise ValueError(f"{url!r} is not an absolute URL, such as https://example.org/connect")
        self.message = message
        self.url = url
        self.id = id

    def request(self, key: str, revision: Revision) -> InputRequest:
        """See `Question.request`."""
        if not revision.url_elicitation:
            raise AskError(f"This client can't be asked: revision {revision.name} sends no user to a URL")
        params = {"mode": "url", "message": self.message, "url": self.url}
        if revision.elicitation_ids:
            params["elicitationId"] = self.id or secrets.token_urlsafe(16)
        return InputRequest(key=key, method="elicitation/create", params=params, needs=inputs.URL)

    def read(self, result: Any) -> Answer[None]:
        """See `Question.read`."""
        return Answer(inputs.read_elicitation(result)[0])


class SampleOptions(TypedDict, total=False):
    """How a model is asked.

    Args:
        max_tokens: How many tokens the answer may have at the most; 1000 by default.
        system: A system prompt, which the client may change or leave out.
        temperature: How random the answer may be.
        stop: Texts that end the answer.
        models: Names or parts of names of models that would be good, best first.
        cost: How much a low price matters, from 0 to 1.
        speed: How much speed matters, from 0 to 1.
        intelligence: How much ability matters, from 0 to 1.
        tools: Tools that the model may use, each as a JSON object with `name`, `description` and `inputSchema`; they
            need not be served. The answer's `tool_uses` are then yours to carry out.
        tool_choice: Whether it may, must or must not use them.
        metadata: For the provider of the model.
    """

    max_tokens: int
    system: str
    temperature: float
    stop: Sequence[str]
    models: Sequence[str]
    cost: float
    speed: float
    intelligence: float
    tools: Sequence[Mapping[str, Any]]
    tool_choice: Literal["auto", "required", "none"]
    metadata: Mapping[str, Any]


class Sample:
    """A question to the client's model.

    Args:
        messages: What the user says, as a text; or a conversation, as messages.
        options: See `SampleOptions`.

    Raises:
        ValueError: The conversation does not answer each use of a tool.

    Spec: Sampling, Creating Messages.
    """

    kind = "sample"

    def __init__(self, messages: str | Sequence[SamplingMessage], **options: Unpack[SampleOptions]) -> None:
        self.messages = [SamplingMessage("user", messages)] if isinstance(messages, str) else list(messages)
        if problem := inputs.unbalanced(self.messages):
            raise ValueError(problem)
        self._tools = "tools" in options or "tool_choice" in options
        self._params = _sampling_params(options)

    def request(self, key: str, revision: Revision) -> InputRequest:
        """See `Question.request`."""
        several = any(len(message.content) != 1 for message in self.messages)
        if (self._tools or several) and not revision.sampling_tools:
            raise AskError(f"This client can't be asked: in revision {revision.name} sampling has no tools or lists")
        messages = [inputs.sampling_message(message, revision) for message in self.messages]
        needs = inputs.SAMPLING_TOOLS if self._tools else inputs.SAMPLING
        params = {"messages": messages, **self._params}
        return InputRequest(key=key, method="sampling/createMessage", params=params, needs=needs)

    def read(self, result: Any) -> Sampled:
        """See `Question.read`."""
        return inputs.read_sampled(result)


def _sampling_params(options: SampleOptions) -> dict[str, Any]:
    models, choice = options.get("models"), options.get("tool_choice")
    preferences = present(
        hints=[{"name": name} for name in models] if models else None,
        costPriority=options.get("cost"),
        speedPriority=options.get("speed"),
        intelligencePriority=options.get("intelligence"),
    )
    return present(
        modelPreferences=preferences or None,
        systemPrompt=options.get("system"),
        temperature=options.get("temperature"),
        maxTokens=options.get("max_tokens", MAX_TOKENS),
        stopSequences=options.get("stop"),
        metadata=options.get("metadata"),
        tools=options.get("tools"),
        toolChoice=None if choice is None else {"mode": choice},
    )


class ListRoots:
    """The directories and files that the client finds relevant. Spec: Roots."""

    kind = "roots"

    def request(self, key: str, revision: Revision) -> InputRequest:
        """See `Question.request`."""
        return InputRequest(key=key, method="roots/list", params=None, needs=inputs.ROOTS)

    def read(self, result: Any) -> tuple[Root, ...]:
        """See `Question.read`."""
        return inputs.read_roots(result)


class Asks:
    """What a call can ask. All of it needs a client that declared that it can be asked.

    Each method raises `AskError` if there is no answer to be had: the client did not declare it (`Undeclared`), its
    revision does not know it, it takes no stream, or it answered with an error.
    """

    __slots__ = ()

    @overload
    def elicit(
        self, message: str, form: Mapping[str, Any] | None = None, *, key: str | None = None
    ) -> Deferred[Answer[dict[str, Any]]]: ...
    @overload
    def elicit(self, message: str, form: type[T], *, key: str | None = None) -> Deferred[Answer[T]]: ...

    def elicit(self, message: str, form: Any = None, *, key: str | None = None) -> Deferred[Any]:
        """Ask the user to fill in a form; see `Elicit`.

        Args:
            message: What is asked, and why.
            form: An attrs class, a JSON Schema, or None for what is only agreed to.
            key: The name of the question in this call, if the order of questions is not always the same.

        Fires: with an `Answer`.
        Cancel: takes the question back.
        """
        return self._ask_one(Elicit(message, form), key)

    def elicit_url(
        self, message: str, url: str, *, id: str | None = None, key: str | None = None
    ) -> Deferred[Answer[None]]:
        """Ask the user to visit a page; see `ElicitUrl`.

        Fires: with an `Answer` without a form, when the user agreed or not; what came of the visit is for you to know.
        Cancel: takes the question back.
        """
        return self._ask_one(ElicitUrl(message, url, id), key)

    def sample(
        self, messages: str | Sequence[SamplingMessage], *, key: str | None = None, **options: Unpack[SampleOptions]
    ) -> Deferred[Sampled]:
        """Ask the client's model; see `Sample` for the options.

        Fires: with what it said.
        Cancel: takes the question back.
        """
        return self._ask_one(Sample(messages, **options), key)

    def roots(self, *, key: str | None = None) -> Deferred[tuple[Root, ...]]:
        """Ask for the directories and files that the client finds relevant.

        Fires: with them.
        Cancel: takes the question back.
        """
        return self._ask_one(ListRoots(), key)

    def ask(self, **questions: Question) -> Deferred[dict[str, Any]]:
        """Ask several questions at once: `Elicit`, `ElicitUrl`, `Sample`, `ListRoots`, by keys of your choice.

        Fires: with what each of them gives, by key, when all are answered.
        Cancel: takes all back.
        """
        return self._ask(questions)

    def once(self, key: str, make: Callable[[], T]) -> T:
        """Do something once, though the function may run several times; give what it gave then.

        Args:
            key: Its name in this call.
            make: Does it, and gives JSON. In 2026-07-28 that travels to the client and back, sealed, with the next
                question; without a question after it, nothing is kept.

        Raises:
            TypeError: What it gave has no form in JSON.
        """
        raise NotImplementedError

    def _ask_one(self, question: Question, key: str | None) -> Deferred[Any]:
        raise NotImplementedError

    def _ask(self, questions: Mapping[str, Question]) -> Deferred[dict[str, Any]]:
        raise NotImplementedError
