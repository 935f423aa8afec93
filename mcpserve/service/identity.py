"""Who may come in, as the settings say it: by API key, by access token, or everybody.

    keys                                API keys
    issuers, public_url                 access tokens that are JWTs
    the same, and introspection         access tokens that their issuer is asked about

What is not configured is not even imported: the libraries for tokens cost memory and time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from mcpserve.errors import ConfigurationError
from mcpserve.policy.challenges import Challenges
from mcpserve.policy.keys import KeyRing
from mcpserve.policy.scopes import SCOPE, read_inclusion
from mcpserve.policy.tokens import TokenRules, is_safe_url, metadata_urls
from mcpserve.service.keyfile import read_keys, write_used
from mcpserve.service.listening import on_loopback
from mcpserve.service.settings import Settings
from mcpserve.web.admission import Admission
from mcpserve.web.endpoint import PATH
from mcpserve.web.identity import Doorkeeper, Tokens
from mcpserve.web.routing import RoutedResource
from mcpserve.web.wellknown import ProtectedResource, WellKnown

NOTHING: Mapping[str, Sequence[str]] = MappingProxyType({})
_NOTED = 60.0
"""Seconds between two times that the last use of keys is written down."""

_OF_TOKENS = (
    "audiences",
    "scopes",
    "introspection",
    "introspection_client",
    "introspection_secret",
)
_log = Logger()


class Entrance:
    """Who may come in.

    Args:
        reactor: What it runs on.
        settings: What the operator set.
        also: Paths that clients get tokens for beside that of the endpoint, each with those that belong to it.

    Attributes:
        doorkeeper: Finds out who is calling; None where nobody is asked.
        challenges: What those are told who are not let in, or not far enough.
        inclusion: Which scopes include which.

    Raises:
        ConfigurationError: The settings do not fit together, or the file of keys can't be read.
    """

    def __init__(self, reactor: Any, settings: Settings, also: Mapping[str, Sequence[str]] = NOTHING) -> None:
        check_identity(settings)
        self._reactor = reactor
        self._settings = settings
        self.inclusion = read_inclusion(settings.scope_includes)
        self._resources = protected_resources(settings, also)
        metadata = {path: resource.metadata_url for path, resource in self._resources.items()}
        metadata |= {path: metadata[of] for of, paths in also.items() if of in metadata for path in paths}
        self.challenges = Challenges(metadata=metadata, scopes=settings.scopes)
        self._fetcher: Any = None
        self._issuers: Sequence[Any] = ()
        tokens = self._tokens() if settings.issuers else None
        keys = self._read_ring() if settings.keys else None
        self.doorkeeper: Doorkeeper | None = None
        if keys is not None or tokens is not None:
            self.doorkeeper = Doorkeeper(reactor, self.challenges, keys, tokens)
        self._noting = LoopingCall(self._note_use)
        self._noting.clock = reactor

    def places(self, admission: Admission) -> Mapping[bytes, RoutedResource]:
        """What everybody may read: where there are tokens to be had."""
        if not self._resources:
            return {}
        first = self._settings.issuers[0]
        known = self._issuers[0] if self._issuers else None
        found = WellKnown(
            self._resources, admission, lambda: metadata_urls(first)[0] if known is None else known.metadata_url
        )
        return found.places()

    def start(self) -> None:
        """Begin: fetch the keys of issuers, and write down now and then which API keys are used."""
        for issuer in self._issuers:
            issuer.refresh()
        if self._settings.keys:
            self._noting.start(_NOTED, now=False)
        if self.doorkeeper is None and not all(map(on_loopback, self._settings.listen)):
            _log.warn(
                "Nobody is asked who is calling: whoever reaches {listen} may use what is served (keys, issuers)",
                listen=", ".join(self._settings.listen),
            )

    def stop(self) -> Deferred[Any]:
        """All is over.

        Fires: when connections to issuers are closed.
        """
        if self._noting.running:
            self._noting.stop()
            self._note_use()
        for issuer in self._issuers:
            issuer.close()
        return succeed(None) if self._fetcher is None else self._fetcher.close()

    def reload(self) -> Collection[str]:
        """Read the file of keys anew. If something is wrong with it, the old ones stay.

        Returns:
            The names of callers who have no key any more, and the ids of the keys that are gone.
        """
        if self.doorkeeper is None or self.doorkeeper.keys is None:
            return ()
        before = self.doorkeeper.keys
        try:
            self._note_use()
            self.doorkeeper.keys = ring = self._read_ring()
        except ConfigurationError as error:
            _log.error("Keys not reloaded, the old ones stay: {problem}", problem=str(error))
            return ()
        gone, revoked = before.parties() - ring.parties(), before.gone(ring)
        _log.info("Keys reloaded: {count}; callers that have none any more: {gone}", count=len(ring), gone=len(gone))
        return gone | revoked

    def problem(self) -> str | None:
        """Why nobody at all could come in now; None if somebody can."""
        problems = [issuer.problem for issuer in self._issuers]
        return problems[0] if problems and all(problems) and not self._settings.keys else None

    def _tokens(self) -> Tokens:
        # late: treq, PyJWT and cryptography are for those who use them
        from mcpserve.service.fetching import Fetcher  # noqa: PLC0415

        settings, rules = self._settings, self._rules()
        self._fetcher = Fetcher(self._reactor)
        if settings.introspection:
            from mcpserve.service.introspection import Endpoint, IntrospectedTokens  # noqa: PLC0415

            endpoint = Endpoint(
                url=settings.introspection,
                issuer=settings.issuers[0],
                client=settings.introspection_client,
                secret=settings.introspection_secret,
                ttl=settings.introspection_ttl,
            )
            return IntrospectedTokens(endpoint, rules, self._reactor, self._fetcher)
        from mcpserve.service.issuers import Issuer, JwtTokens  # noqa: PLC0415

        self._issuers = [
            Issuer(
                url,
                clock=self._reactor,
                fetcher=self._fetcher,
                refresh=settings.issuer_refresh,
                outage=settings.issuer_outage,
            )
            for url in settings.issuers
        ]
        return JwtTokens(self._issuers, rules, self._reactor)

    def _rules(self) -> TokenRules:
        settings = self._settings
        return TokenRules(
            audiences=frozenset([*(resource.url for resource in self._resources.values()), *settings.audiences]),
            scopes=settings.scopes,
            inclusion=self.inclusion,
            groups_claim=settings.groups_claim,
            leeway=settings.token_leeway,
        )

    def _read_ring(self) -> KeyRing:
        return KeyRing(read_keys(Path(self._settings.keys)), self.inclusion)

    def _note_use(self) -> None:
        ring = None if self.doorkeeper is None else self.doorkeeper.keys
        if ring is None or not ring.used:
            return
        used = dict(ring.used)
        ring.used.clear()
        try:
            write_used(Path(self._settings.keys), used, ring.ids())
        except ConfigurationError as error:
            _log.warn("The last use of keys is not written down: {problem}", problem=str(error))


def check_identity(settings: Settings) -> None:
    """Check that what is set about callers fits together.

    Raises:
        ConfigurationError: It does not; says what would.
    """
    read_inclusion(settings.scope_includes)
    if settings.public_url and not is_public_url(settings.public_url):
        raise ConfigurationError(
            f"public_url must be an http or https URL without query and fragment, not {settings.public_url!r}"
        )
    if settings.keys:
        read_keys(Path(settings.keys))
    if not settings.issuers:
        alone = [name for name in _OF_TOKENS if getattr(settings, name)]
        if alone:
            raise ConfigurationError(f"{', '.join(alone)}: of access tokens, which need issuers")
        return
    _check_urls(settings)
    if "offline_access" in settings.scopes or not all(map(SCOPE.fullmatch, settings.scopes)):
        raise ConfigurationError("scopes: one has no spaces, quotes or backslashes in it, and is not offline_access")
    if not settings.groups_claim:
        raise ConfigurationError("groups_claim must be the name of a claim")
    if settings.introspection:
        _check_introspection(settings)
    elif settings.introspection_client or settings.introspection_secret:
        raise ConfigurationError("introspection_client and introspection_secret mean nothing without introspection")


def _check_urls(settings: Settings) -> None:
    if not settings.public_url:
        raise ConfigurationError(
            "issuers need public_url: without it nobody can say whether a token was made for this server"
        )
    for issuer in settings.issuers:
        if not is_safe_url(issuer) or "?" in issuer or "#" in issuer:
            raise ConfigurationError(
                f"issuers: {issuer!r} must be an https URL (http on loopback) without query and fragment"
            )


def _check_introspection(settings: Settings) -> None:
    if len(settings.issuers) != 1:
        raise ConfigurationError("introspection asks one issuer; issuers must name exactly that one")
    if not is_safe_url(settings.introspection):
        raise ConfigurationError(
            f"introspection must be an https URL (http on loopback), not {settings.introspection!r}"
        )
    if not (settings.introspection_client and settings.introspection_secret):
        raise ConfigurationError(
            "introspection needs introspection_client and introspection_secret: no issuer tells strangers about tokens"
        )


def is_public_url(url: str) -> bool:
    """Whether this can be the URL that clients know a server by."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    plain = url.isascii() and not any(c <= " " or c in '"\\<>|^`{}?#' for c in url)
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None and port != 0


def protected_resources(settings: Settings, also: Iterable[str] = ()) -> Mapping[str, ProtectedResource]:
    """What clients get tokens for, by path; nothing where no tokens are taken."""
    if not settings.issuers:
        return {}
    root = settings.public_url.rstrip("/")
    return {
        path: ProtectedResource(url=root + path, issuers=settings.issuers, scopes=settings.scopes, name=settings.name)
        for path in (PATH, *also)
    }
