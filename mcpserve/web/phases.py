"""The phases of a connection, in their order. One that can last for ever has a deadline (trap T3):

IDLE        no byte of a request has come      idle_timeout; write_stall while the answers before are not read
HEAD        request line and headers           header_timeout -> 408
BODY        the body                           body_timeout -> 408
RESPONDING  the request is being handled       none; write_stall while the reader is behind -> abort
LINGERING   we have said our last word, and    linger -> closed
            throw away what still comes in
CLOSING     buffered output is being flushed   write_stall -> abort
"""

from __future__ import annotations

from typing import Final

IDLE: Final = 0
HEAD: Final = 1
BODY: Final = 2
RESPONDING: Final = 3
LINGERING: Final = 4
CLOSING: Final = 5
