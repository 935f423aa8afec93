"""Clients that are asked: `python answering.py URL`."""

import asyncio
import sys

from mcpserve.client import FormQuestion, Root, Sampled, SamplingQuestion, Text
from mcpserve.client.aio import AsyncClient
from mcpserve.client.sync import Client


def fill_in(question: FormQuestion):
    """A plain function; here it could print the question, and wait for input()."""
    print(question.message, sorted(question.schema["properties"]))
    return {"name": "Ada"}


def in_a_script(url):
    """Handlers of plain scripts are plain functions."""
    with Client(url, elicit=fill_in) as client:
        print(client.call_tool("book_table", {"day": "2030-05-01"}).content[0].text)


def ask_model(prompt):
    """A model that takes its time would be asked here."""
    return f"It is {len(prompt)} characters."


async def complete(question: SamplingQuestion):
    """A coroutine of asyncio."""
    text = await asyncio.to_thread(ask_model, question.messages[-1].content[0].text)
    return Sampled(content=(Text(text),), model="mine")


async def in_asyncio(url):
    """Handlers of asyncio programs are coroutines of asyncio, or plain functions."""
    async with AsyncClient(url, sample=complete, roots=[Root("file:///srv", "all")]) as client:
        result = await client.call_tool("shorten", {"text": "It is long."})
        print(result.content[0].text)


if __name__ == "__main__":
    in_a_script(sys.argv[1])
    asyncio.run(in_asyncio(sys.argv[1]))
