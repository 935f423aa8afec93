"""Cookies, for the balancers that want them."""

from __future__ import annotations

from typing import Any

from treq.cookies import IndexableCookieJar


class Cookies(IndexableCookieJar):
    """Cookies, as balancers that send a session to the same server want them; no work while there are none."""

    _some = False

    def add_cookie_header(self, request: Any) -> None:
        """Add what is kept for a request."""
        if self._some:
            super().add_cookie_header(request)

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Keep what a response sets."""
        if response.response.headers.hasHeader(b"Set-Cookie"):
            self._some = True
            try:
                super().extract_cookies(response, request)
            except UnicodeError:
                # A cookie that is not ASCII is none. It is no reason to lose the answer.
                return
