"""The tools, resources and prompts that the official conformance suite asks for, as an mcpserve plugin.

The suite fixes the names and what each must do; `test_simple_text` stands first because its header scenario calls the
first tool of the list without arguments. Tools that need elicitation, sampling or tasks join when the server serves
those.
"""

from __future__ import annotations

import base64
import struct
from typing import Annotated, Any

from mcpserve import Arg, Audio, Call, EmbeddedResource, Image, Text, ToolError, prompt, publish, resource, tool
from mcpserve.errors import MissingCapability

PAUSE = 0.05
"""Seconds between two notifications."""

RED_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)

SILENCE = (
    b"RIFF"
    + struct.pack("<I", 38)
    + b"WAVEfmt "
    + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    + b"data"
    + struct.pack("<Ih", 2, 0)
)
"""One sample of silence in a WAV file: 16 bits, mono, 8 kHz."""

CONTACT_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


@tool
def test_simple_text() -> str:
    """Answer with one block of text."""
    return "This is a simple text response for testing."


@tool
def test_image_content() -> Image:
    """Answer with a red pixel."""
    return Image(RED_PIXEL, "image/png")


@tool
def test_audio_content() -> Audio:
    """Answer with a sample of silence."""
    return Audio(SILENCE, "audio/wav")


@tool
def test_embedded_resource() -> EmbeddedResource:
    """Answer with a resource that is carried in the result."""
    return EmbeddedResource("test://embedded-resource", "This is an embedded resource.", mime_type="text/plain")


@tool
def test_multiple_content_types() -> list[Text | Image | EmbeddedResource]:
    """Answer with text, an image and a resource at once."""
    return [
        Text("Several kinds of content:"),
        Image(RED_PIXEL, "image/png"),
        EmbeddedResource("test://mixed-content", '{"mixed": true}', mime_type="application/json"),
    ]


@tool
def test_error_handling() -> str:
    """Fail in the way that the model should read about."""
    raise ToolError("This tool fails on purpose.")


@tool
async def test_tool_with_progress(call: Call) -> str:
    """Report progress at 0, 50 and 100 of 100."""
    for value in (0, 50, 100):
        await call.progress(value, 100, f"Completed step {value} of 100")
        await call.sleep(PAUSE)
    return "All steps are done."


@tool
async def test_reconnection(call: Call) -> str:
    """Close the stream before it has ended, go on, and answer the client that comes back."""
    await call.close_stream(retry_ms=100)
    await call.sleep(0.2)
    return "The client came back."


@tool
async def test_tool_with_logging(call: Call) -> str:
    """Log three messages at info."""
    for message in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await call.log("info", message)
        await call.sleep(PAUSE)
    return "Logged three messages."


@tool
async def test_logging_tool(call: Call) -> str:
    """Try to log one message at info; a modern request that names no level must not get it."""
    await call.log("info", "This goes only to a request that asked for it")
    return "Tried to log."


@tool
async def test_streaming_elicitation(call: Call) -> str:
    """Stream a few notifications and no request of the server's own."""
    for step in range(3):
        await call.progress(step, 3)
        await call.sleep(PAUSE)
    return "Streamed."


@tool
def test_missing_capability(call: Call) -> str:
    """Refuse a request that does not declare the sampling capability."""
    if "sampling" not in call.client_capabilities:
        raise MissingCapability({"sampling": {}})
    return "The request declares sampling."


@tool
def test_trigger_tool_change() -> str:
    """Tell those who listen that the list of tools has changed."""
    publish.tools_changed()
    return "Published."


@tool
def test_trigger_prompt_change() -> str:
    """Tell those who listen that the list of prompts has changed."""
    publish.prompts_changed()
    return "Published."


@resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    """A text that never changes."""
    return "This is the content of the static text resource."


@resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """A red pixel."""
    return RED_PIXEL


@resource("test://watched-resource", mime_type="text/plain")
def watched_resource() -> str:
    """A resource to subscribe to."""
    return "This resource may be watched."


@resource("test://template/{id}/data", mime_type="application/json")
def template_data(id: str) -> dict[str, Any]:
    """The data of an id."""
    return {"id": id, "data": f"Data for ID: {id}"}


@prompt
def test_simple_prompt() -> str:
    """A prompt without arguments."""
    return "This is a simple prompt for testing."


@prompt
def test_prompt_with_arguments(
    arg1: Annotated[str, Arg("First argument", completer=["paris", "park", "party"])],
    arg2: Annotated[str, Arg("Second argument")],
) -> str:
    """A prompt with two arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@prompt
def test_prompt_with_embedded_resource(
    resourceUri: Annotated[str, Arg("URI of the resource to embed")],
) -> list[EmbeddedResource | str]:
    """A prompt that carries a resource."""
    contents = "Embedded resource content for testing."
    return [EmbeddedResource(resourceUri, contents, mime_type="text/plain"), "Please process the embedded resource."]


@prompt
def test_prompt_with_image() -> list[Image | str]:
    """A prompt that carries a picture."""
    return [Image(RED_PIXEL, "image/png"), "Please analyze the image above."]


@tool
def test_x_mcp_header(region: Annotated[str, Arg("Where to run", header="Region")]) -> str:
    """Take an argument that is mirrored in the header Mcp-Param-Region."""
    return f"Ran in {region}."


@tool(input_schema=CONTACT_SCHEMA)
def json_schema_2020_12_tool(
    name: str = "",
    address: dict[str, Any] | None = None,
    contactMethod: str = "",
    phone: str = "",
    email: str = "",
) -> str:
    """Take a contact that is described with the wider vocabulary of JSON Schema 2020-12."""
    return f"Noted {name or 'somebody'}."
