"""Where a client learns which authorization server to go to: documents under `/.well-known/`, for everybody.

    /.well-known/oauth-protected-resource           about the endpoint
    /.well-known/oauth-protected-resource/mcp       the same, where RFC 9728 looks for it
    /.well-known/oauth-protected-resource/PATH/mcp  the same, where the public URL has a path of its own
    /.well-known/oauth-authorization-server         leads to the document of the issuer, for clients of 2025-03-26

Spec: RFC 9728; 2026-07-28, Authorization Server Discovery, Protected Resource Metadata Discovery Requirements;
2025-03-26, Authorization, Server Metadata Discovery.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import attrs
import orjson
from klein import Klein
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import HTTPException

from mcpserve.errors import ProtocolError, Refusal
from mcpserve.web.admission import Admission
from mcpserve.web.endpoint import answer_error
from mcpserve.web.request import McpRequest
from mcpserve.web.routing import RoutedResource

RESOURCE = "/.well-known/oauth-protected-resource"
SERVER = "/.well-known/oauth-authorization-server"
_HEADERS = ((b"Content-Type", b"application/json"), (b"Cache-Control", b"max-age=300"))


@attrs.frozen(kw_only=True)
class ProtectedResource:
    """What is published of one protected path.

    Args:
        url: Its URL as clients know it: the resource identifier, which their tokens are made for.
        issuers: The authorization servers whose tokens are taken.
        scopes: The scopes that every token needs.
        name: A name for people.
    """

    url: str
    issuers: Sequence[str]
    scopes: Sequence[str] = ()
    name: str = "mcpserve"

    @property
    def metadata_url(self) -> str:
        """The URL of its document. RFC 9728, 3.1: the well-known part comes between the host and the path."""
        scheme, host, path, _, _ = urlsplit(self.url)
        return urlunsplit((scheme, host, RESOURCE + path.rstrip("/"), "", ""))

    def document(self) -> bytes:
        """The document."""
        members = {
            "resource": self.url,
            "authorization_servers": list(self.issuers),
            "scopes_supported": list(self.scopes),
            "bearer_methods_supported": ["header"],
            "resource_name": self.name,
        }
        # RFC 9728, 3.2: "Claims with zero elements MUST be omitted"
        return orjson.dumps({name: value for name, value in members.items() if value})


class WellKnown:
    """Serves the documents.

    Args:
        resources: What is protected, by path; the first one is also found at the root.
        admission: Looks at Host and Origin, as everywhere else; who is calling does not matter here.
        issuer_metadata: Gives the URL of the metadata of the first issuer.
    """

    app = Klein()

    def __init__(
        self,
        resources: Mapping[str, ProtectedResource],
        admission: Admission,
        issuer_metadata: Callable[[], str],
    ) -> None:
        self._admission = admission
        self._issuer_metadata = issuer_metadata
        documents = {RESOURCE: next(iter(resources.values()))}
        for path, resource in resources.items():
            documents[RESOURCE + path] = documents[urlsplit(resource.metadata_url).path] = resource
        self._documents = {path.encode("ascii"): found.document() for path, found in documents.items()}

    def places(self) -> Mapping[bytes, RoutedResource]:
        """The resource of each path."""
        resource = RoutedResource(self.app)
        return dict.fromkeys([*self._documents, SERVER.encode("ascii")], resource)

    @app.route(RESOURCE, methods=["GET"])
    @app.route(RESOURCE + "/<path:rest>", methods=["GET"])
    def resource(self, request: McpRequest, rest: str = "") -> Any:
        """The metadata of a protected resource."""
        document = self._documents[request.path]
        self._answer(request, lambda: request.answer(200, _HEADERS, document))
        return NOT_DONE_YET

    @app.route(SERVER, methods=["GET"])
    def server(self, request: McpRequest) -> Any:
        """Lead to the metadata of the authorization server."""
        self._answer(
            request,
            lambda: request.answer(307, ((b"Location", self._issuer_metadata().encode("ascii")),), b""),
        )
        return NOT_DONE_YET

    @app.handle_errors(HTTPException)  # type: ignore[arg-type]
    def refused(self, request: McpRequest, failure: object) -> Any:
        """Another method."""
        answer_error(request, Refusal(405, "Only GET is allowed here", {"Allow": "GET, HEAD"}))
        return NOT_DONE_YET

    def _answer(self, request: McpRequest, answer: Callable[[], None]) -> None:
        try:
            self._admission.check_origin(request)
        except ProtocolError as error:
            answer_error(request, error)
        else:
            answer()
