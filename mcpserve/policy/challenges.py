"""What a caller is told who is not let in: the status, and how to get a credential that would do.

    401   no credential                 Bearer resource_metadata, scope; no error code (RFC 6750, 3.1)
    401   a credential that is no good  the same, error="invalid_token"
    403   too few scopes                the same, error="insufficient_scope", scope: those that are needed
    400   more credentials than one     error="invalid_request"

What the revisions want of it:

    2025-03-26    401, and the metadata of the authorization server at the root of this one (`web.wellknown`)
    2025-06-18    "MUST use the HTTP header WWW-Authenticate when returning a 401": resource_metadata
    2025-11-25    the same; "SHOULD include a scope parameter"; a 403 names, as recommended, "both existing relevant
                  scopes and newly required scopes"
    2026-07-28    the same; a 403 names "the scopes necessary to access the requested resource", all at once: "Scope
                  accumulation across operations is a client-side responsibility"

A request that begins a session names no revision, so a 401 is the same for all: what a client does not know it skips.
Without an authorization server (API keys alone) there is no resource_metadata, and nothing to be discovered.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import attrs

from mcpserve.errors import Refusal
from mcpserve.protocol.revisions import MODERN

_LONGEST = 2048
"""Characters of scopes in a challenge; proxies bound headers."""


@attrs.frozen(kw_only=True)
class Challenges:
    """The words of one server.

    Args:
        metadata: The URL of the resource metadata document of each path; empty without an authorization server.
        scopes: What every token needs.
    """

    metadata: Mapping[str, str] = attrs.field(factory=dict)
    scopes: Sequence[str] = ()

    def missing(self, sentence: str, path: str = "") -> Refusal:
        """401 for a request without a credential.

        Args:
            sentence: What to do, for the client.
            path: The path of the request; by default that of the endpoint.
        """
        return self._refusal(401, None, sentence, path, self.scopes)

    def invalid(self, sentence: str, path: str = "") -> Refusal:
        """401 for a credential that is no good. Arguments as of `missing`."""
        return self._refusal(401, "invalid_token", sentence, path, self.scopes)

    def malformed(self, sentence: str, path: str = "") -> Refusal:
        """400 for a request that shows its credentials in a way that may be read in two. Arguments as of `missing`."""
        return self._refusal(400, "invalid_request", sentence, path, ())

    def insufficient(
        self,
        sentence: str,
        needed: Collection[str],
        granted: Collection[str] = (),
        *,
        revision: str | None = None,
        path: str = "",
    ) -> Refusal:
        """403 for a caller whose scopes do not suffice: the step-up.

        Args:
            sentence: What is missing, for the client.
            needed: All scopes that are needed for what was asked.
            granted: Those that the caller has.
            revision: The revision of the request, if it is known.
            path: The path of the request; by default that of the endpoint.
        """
        scopes = list(dict.fromkeys(needed))
        if revision not in MODERN:
            whole = [*scopes, *sorted(set(granted).difference(scopes))]
            scopes = whole if len(" ".join(whole)) <= _LONGEST else scopes
        return self._refusal(403, "insufficient_scope", sentence, path, scopes)

    def _refusal(self, status: int, error: str | None, sentence: str, path: str, scopes: Sequence[str]) -> Refusal:
        url = self.metadata.get(path) or next(iter(self.metadata.values()), None)
        params = {
            "realm": "mcpserve",
            "error": error,
            "error_description": None if error is None else _quotable(sentence),
            "scope": " ".join(scopes) or None,
            "resource_metadata": url,
        }
        value = ", ".join(f'{name}="{text}"' for name, text in params.items() if text is not None)
        return Refusal(status, sentence, {"WWW-Authenticate": f"Bearer {value}"})


def _quotable(sentence: str) -> str:
    """RFC 6750, 3: a description has neither quotes nor backslashes, and only ASCII."""
    plain = sentence.replace('"', "'").replace("\\", "/")
    return "".join(c if " " <= c <= "~" else "?" for c in plain)
