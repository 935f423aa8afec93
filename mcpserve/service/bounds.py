"""From settings to the bounds of the rooms: who may ask, how much, how often. docs/reference/limits.md has them all.

A limit for one party makes sense only where parties can be told apart: by name, or by address. On loopback without keys
and without trusted proxies all are one, perhaps a proxy that nobody has told us of; there such limits are off unless
somebody sets them.
"""

from __future__ import annotations

import resource
import sys
from urllib.parse import urlsplit

from twisted.logger import Logger

from mcpserve.errors import ConfigurationError
from mcpserve.policy.origins import ANY, Origins
from mcpserve.policy.proxies import Proxies
from mcpserve.policy.rates import Rates, ToolRates, read_rate, read_tool_rates
from mcpserve.server.calls import CallLimits
from mcpserve.server.subscriptions import SubscriptionLimits
from mcpserve.service.listening import is_proxied, on_loopback
from mcpserve.service.settings import Settings
from mcpserve.web.crowd import CrowdLimits
from mcpserve.web.site import HttpLimits

_log = Logger()

SHARE = 10
"""One party may have a tenth of what there is for all, unless a setting says another number."""

OWN_FILES = 100
"""Open files that are no connections: the store, logs, threads, what tools open."""


def told_apart(settings: Settings) -> bool:
    """Tell whether limits for one party make sense here."""
    named = bool(settings.keys or settings.issuers)
    return named or bool(settings.trusted_proxies) or not all(map(on_loopback, settings.listen))


def share(settings: Settings, total: int, own: int) -> int | None:
    """What one party may have of something: the setting for that, or else a tenth; None for all."""
    if own:
        return own
    return max(1, total // SHARE) if told_apart(settings) else None


def proxies(settings: Settings) -> Proxies:
    """The proxies that are trusted.

    Raises:
        ConfigurationError: The PROXY protocol is spoken where nobody is trusted to speak it.
    """
    for description in settings.listen:
        if is_proxied(description) and not settings.trusted_proxies:
            raise ConfigurationError(
                f"listen: {description!r} takes the PROXY protocol; say in trusted_proxies from whom, such as "
                '"127.0.0.1", or "unix" for a UNIX socket'
            )
    return Proxies(settings.trusted_proxies)


def origins(settings: Settings) -> Origins:
    """The Host and Origin check for what is listened on: strict on loopback, by address where any host may be ours.

    Raises:
        ConfigurationError: All pages are let in where that gives something away.
    """
    hosts, pages = list(settings.allow_hosts), list(settings.allow_origins)
    if ANY in pages and not (settings.keys or settings.issuers or settings.public_url):
        raise ConfigurationError(
            'allow_origins: "*" lets every page that somebody looks at call this server; that needs keys or issuers, '
            "or a public_url: then everybody can reach it anyway"
        )
    if ANY in pages and settings.cors_credentials:
        raise ConfigurationError('cors_credentials: not together with "*" in allow_origins; name the origins')
    if settings.public_url:
        public = urlsplit(settings.public_url)
        hosts.append(public.netloc)
        pages.append(f"{public.scheme}://{public.netloc}")
    return Origins(hosts=hosts, origins=pages, any_address=not all(map(on_loopback, settings.listen)))


def rates(settings: Settings) -> Rates:
    """How often one may ask."""
    return Rates(
        address=read_rate(settings.rate_per_address) if settings.rate_per_address else None,
        caller=read_rate(settings.rate_per_caller) if settings.rate_per_caller else None,
    )


def tool_rates(settings: Settings) -> ToolRates | None:
    """How often tools may be called."""
    return ToolRates(read_tool_rates(settings.tool_rates)) if settings.tool_rates else None


def call_limits(settings: Settings) -> CallLimits:
    """The bounds of what runs."""
    return CallLimits(
        calls=settings.max_calls, of_caller=share(settings, settings.max_calls, settings.max_calls_of_caller)
    )


def subscription_limits(settings: Settings) -> SubscriptionLimits:
    """The bounds of what clients listen to."""
    return SubscriptionLimits(
        streams=settings.max_listeners,
        of_caller=share(settings, settings.max_listeners, settings.max_listeners_of_caller),
        named=settings.max_watched,
    )


def http_limits(settings: Settings) -> HttpLimits:
    """The bounds of connections and requests."""
    return HttpLimits(
        body=settings.body_limit,
        bodies=settings.body_memory,
        header_bytes=settings.header_limit,
        header_count=settings.header_count,
        url=settings.url_limit,
        header_timeout=settings.header_timeout,
        body_timeout=settings.body_timeout,
        idle_timeout=settings.idle_timeout,
        write_stall=settings.write_stall,
    )


def crowd_limits(settings: Settings) -> CrowdLimits:
    """How many connections there may be: no more than the system lets us open."""
    of_address = share(settings, settings.max_connections, settings.max_connections_of_address)
    return CrowdLimits(total=min(settings.max_connections, _most_connections()), of_address=of_address)


def say_if_few_files(settings: Settings) -> None:
    """Log it if the system does not let us open as many connections as the operator wants."""
    most = _most_connections()
    if most < settings.max_connections:
        _log.info(
            "At most {most} connections, as the system allows no more open files (ulimit -n, LimitNOFILE=); "
            "max_connections is {wanted}",
            most=most,
            wanted=settings.max_connections,
        )


def _most_connections() -> int:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if files == resource.RLIM_INFINITY else max(1, files - OWN_FILES)


def prefix(settings: Settings) -> str:
    """The path under which a proxy serves us, without a slash at its end."""
    return urlsplit(settings.public_url).path.rstrip("/")
