"""Where requests go: URLs as users write them, brought into the form of the wire once."""

from __future__ import annotations

import attrs
from hyperlink import EncodedURL, URLParseError

from mcpserve.client.agent import target_of
from mcpserve.errors import ConfigurationError


@attrs.frozen(kw_only=True)
class Place:
    """Where a request goes.

    Args:
        url: The URL as text, without a fragment.
        wire: The same, in bytes.
        encoded: The same, for treq.
        origin: What makes two places the same server: scheme, host, port.
        name: The origin as it is shown; paths and queries may hold secrets.
    """

    url: str
    wire: bytes = attrs.field(repr=False)
    encoded: EncodedURL = attrs.field(repr=False)
    origin: tuple[bool, str, int]
    name: str


def place_of(url: str) -> Place:
    """Read a URL.

    Raises:
        ConfigurationError: It is no URL that can be asked.
    """
    try:
        encoded = _on_the_wire(EncodedURL.from_text(url)).replace(fragment="")
        text = encoded.to_text(with_password=True)
        wire = text.encode("ascii")
        target = target_of(wire)
    except (ValueError, URLParseError) as problem:
        raise ConfigurationError(f"This is no URL of a server: {problem}") from None
    if encoded.userinfo:
        raise ConfigurationError("A URL is no place for a user or a password: hand credentials to the client instead")
    name = f"{encoded.scheme}://{target.authority.decode('ascii')}"
    return Place(url=text, wire=wire, encoded=EncodedURL.from_text(text), origin=target.key, name=name)


def _on_the_wire(url: EncodedURL) -> EncodedURL:
    """Only ASCII in it. A host that is ASCII stays: hyperlink fails on `::1` and on `my_service`."""
    if not url.host.isascii():
        return url.to_uri()
    return url.replace(host="").to_uri().replace(host=url.host)
