"""Drives the official Python client with a credential: `authorized_client.py URL ERA CREDENTIAL TOOL`.

CREDENTIAL is `key:KEY` (X-API-Key), `bearer:TOKEN`, `none`, or `oauth`: then the client discovers the authorization
server, registers, and gets a token itself; what a person would do in a browser is done by following redirects. The text
of the tool's result, or what went wrong, goes to standard output as JSON.
"""

import json
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata

ERAS = {"legacy": "legacy", "modern": "2026-07-28", "auto": "auto"}


class Storage:
    """Keeps what the client got."""

    tokens: Any = None
    client: Any = None

    async def get_tokens(self) -> Any:
        """See TokenStorage."""
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        """See TokenStorage."""
        self.tokens = tokens

    async def get_client_info(self) -> Any:
        """See TokenStorage."""
        return self.client

    async def set_client_info(self, client_info: Any) -> None:
        """See TokenStorage."""
        self.client = client_info


class Browser:
    """Visits the page of the authorization server, which sends it back at once."""

    back: dict[str, list[str]]

    async def visit(self, url: str) -> None:
        """Go there."""
        async with httpx2.AsyncClient() as client:
            answer = await client.get(url)
        self.back = parse_qs(urlsplit(answer.headers["location"]).query)

    async def result(self) -> AuthorizationCodeResult:
        """What it was sent back with."""
        return AuthorizationCodeResult(**{name: values[0] for name, values in self.back.items()})


def http(url: str, credential: str) -> httpx2.AsyncClient:
    """A client that shows the credential."""
    kind, _, value = credential.partition(":")
    if kind == "oauth":
        browser = Browser()
        metadata = OAuthClientMetadata(client_name="test", redirect_uris=["http://127.0.0.1:1/back"])
        auth = OAuthClientProvider(url, metadata, Storage(), browser.visit, browser.result)
        return httpx2.AsyncClient(auth=auth, timeout=20)
    headers = {"key": {"X-API-Key": value}, "bearer": {"Authorization": f"Bearer {value}"}}.get(kind, {})
    return httpx2.AsyncClient(headers=headers, timeout=20)


def statuses(error: BaseException) -> list[str]:
    """What went wrong, of all that went wrong."""
    if isinstance(error, BaseExceptionGroup):
        return [one for inner in error.exceptions for one in statuses(inner)]
    return [f"{type(error).__name__}: {error}"]


async def main(url: str, era: str, credential: str, tool: str) -> None:
    """Call the tool."""
    try:
        async with http(url, credential) as client:
            transport = streamable_http_client(url, http_client=client)
            async with Client(transport, mode=ERAS[era]) as session:
                result = await session.call_tool(tool, {})
                outcome = {"text": result.content[0].text, "version": session.protocol_version}
    except BaseException as error:
        outcome = {"errors": statuses(error)}
    print(json.dumps(outcome))


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
