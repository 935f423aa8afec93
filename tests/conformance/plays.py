"""What the client under test does in each scenario of the suite, by the front door alone: `mcpserve.client`.

Which revision the server speaks, the client finds out by itself, in each scenario.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.logger import globalLogBeginner, textFileLogObserver

from mcpserve.client import (
    Client,
    ClientError,
    Elicited,
    FormQuestion,
    Options,
    Root,
    Sampled,
    SamplingQuestion,
    Text,
    Timeouts,
    ToolDefinition,
)
from tests.conformance.client import CARRIED_OUT

SECONDS = 45.0

Given = Mapping[str, Any]
Play = Callable[[Client, Given], Awaitable[None]]


async def initialize(client: Client, given: Given) -> None:
    """Shake hands, and use the session once."""
    await client.list_tools()


async def tools_call(client: Client, given: Given) -> None:
    """List the tools, and add two numbers."""
    await client.list_tools()
    await client.call_tool("add_numbers", {"a": 5, "b": 3})


async def elicitation_defaults(client: Client, given: Given) -> None:
    """Have the server ask for what the user leaves as it is."""
    await client.list_tools()
    await client.call_tool("test_client_elicitation_defaults")


async def reconnection(client: Client, given: Given) -> None:
    """Call a tool whose stream the server closes before its result."""
    await client.list_tools()
    await client.call_tool("test_reconnection")


async def request_metadata(client: Client, given: Given) -> None:
    """Make a few requests of a server that does not want the first one."""
    await client.list_tools()
    await client.call_tool("anything")


async def standard_headers(client: Client, given: Given) -> None:
    """Use all tools, resources and prompts there are."""
    for tool in await client.list_tools():
        await client.call_tool(tool.name)
    for resource in await client.list_resources():
        await client.read_resource(resource.uri)
    for prompt in await client.list_prompts():
        await client.get_prompt(prompt.name)


async def custom_headers(client: Client, given: Given) -> None:
    """Make the calls that the suite wants, with just these arguments."""
    await client.list_tools()
    for call in given["toolCalls"]:
        await client.call_tool(call["name"], call["arguments"])


async def invalid_tool_headers(client: Client, given: Given) -> None:
    """Call each tool that the client lets its user see."""
    for tool in await client.list_tools():
        await client.call_tool(tool.name, dict.fromkeys(_required(tool), "us-west1"))


async def references(client: Client, given: Given) -> None:
    """List tools whose schemas refer to elsewhere, and look at the schemas."""
    for tool in await client.list_tools():
        print(tool.input_schema)


async def input_required(client: Client, given: Given) -> None:
    """Call the tools that want input, and others between them."""
    await client.list_tools()
    for name in ("echo_state", "unrelated", "no_state", "no_result_type"):
        await client.call_tool(f"test_mrtr_{name}")


async def schema_preservation(client: Client, given: Given) -> None:
    """Send a tool's schema back as it came."""
    schemas = {tool.name: tool.input_schema for tool in await client.list_tools()}
    await client.call_tool("json_schema_echo", {"schema": schemas["json_schema_2020_12_tool"]})


PLAYS: Mapping[str, Play] = {
    "initialize": initialize,
    "tools_call": tools_call,
    "elicitation-sep1034-client-defaults": elicitation_defaults,
    "sse-retry": reconnection,
    "request-metadata": request_metadata,
    "http-standard-headers": standard_headers,
    "http-custom-headers": custom_headers,
    "http-invalid-tool-headers": invalid_tool_headers,
    "json-schema-ref-no-deref": references,
    "sep-2322-client-request-state": input_required,
    "json-schema-2020-12-preservation": schema_preservation,
}


def _required(tool: ToolDefinition) -> list[str]:
    return list(tool.input_schema.get("required", ()))


def _accept(question: FormQuestion) -> Elicited:
    """A user who changes nothing, and has no opinion but yes where a field has no default."""
    fields = question.schema.get("properties", {})
    return {
        name: True if field.get("type") == "boolean" else "yes"
        for name, field in fields.items()
        if "default" not in field and name in question.schema.get("required", ())
    }


def _sample(question: SamplingQuestion) -> Sampled:
    return Sampled(content=(Text("Hello"),), model="none")


OPTIONS: Options = {
    "name": "mcpserve-conformance",
    "elicit": _accept,
    "sample": _sample,
    "roots": [Root("file:///srv", "srv")],
    "timeouts": Timeouts(head=SECONDS, idle=SECONDS, total=SECONDS),
}


def carry_out(name: str, url: str, given: Given) -> None:
    """Run the reactor until the scenario was carried out, and exit: with 0, or 1 if the client failed."""
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    react(lambda _: Deferred.fromCoroutine(_told(name, url, given)))


async def _told(name: str, url: str, given: Given) -> None:
    try:
        async with Client(url, **OPTIONS) as client:
            print(f"{client.server.revision.name} over {client.server.transport}")
            await PLAYS[name](client, given)
    except ClientError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    print(CARRIED_OUT)
