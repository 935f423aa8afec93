"""What whoever runs the process gets to see of it: health, metrics on a port of their own, and what systemd is told.

phase       begins                      /health/ready
starting    with the process            503, "starting"
serving     when all is listened on     200, or 503 if nobody could come in: "issuer"
stopping    with SIGTERM                503, "draining"
"""

from __future__ import annotations

import enum
import importlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

from mcpserve.policy.origins import Origins
from mcpserve.service.gauges import Gauges, Reading
from mcpserve.service.identity import Entrance
from mcpserve.service.settings import Settings
from mcpserve.service.storage import Storage
from mcpserve.service.systemd import Supervisor
from mcpserve.service.tally import Tally
from mcpserve.web.crowd import CrowdLimits
from mcpserve.web.endpoint import site_refusal
from mcpserve.web.health import Health
from mcpserve.web.ops import OpsPages
from mcpserve.web.routing import RoutedResource
from mcpserve.web.site import HttpLimits, McpSite

_LIMITS = HttpLimits(body=1024)
_CROWD = CrowdLimits(total=100)


class Phase(enum.Enum):
    """Where the process stands in its life."""

    STARTING = "starting"
    SERVING = "serving"
    STOPPING = "stopping"


class Operation:
    """One process, as its operator sees it.

    Args:
        reactor: What it runs on.
        settings: What the operator set.
        storage: Where things are kept.
        entrance: Who may come in.
        supervisor: Who started the process, and wants to hear of it.

    Attributes:
        health: What everybody may ask.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        storage: Storage,
        entrance: Entrance,
        supervisor: Supervisor | None = None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._storage = storage
        self._entrance = entrance
        self._began = reactor.seconds()
        self._phase = Phase.STARTING
        self._gauges: Gauges | None = None
        self.supervisor = supervisor or Supervisor(reactor, os.environ, os.getpid())
        self.health = Health(self.problems)

    # --- phases

    def serving(self, status: str) -> None:
        """Requests are answered; after a reload: again."""
        self._phase = Phase.SERVING
        self.supervisor.ready(status)

    def reloading(self) -> None:
        """A reload begins."""
        self.supervisor.reloading(time.monotonic())

    def stopping(self) -> None:
        """The process begins to stop."""
        self._phase = Phase.STOPPING
        self.supervisor.stopping()

    def stop(self) -> None:
        """All is over."""
        self.supervisor.stop()

    # --- what is seen

    def look_at(self, gauges: Gauges) -> None:
        """Read from here what there is."""
        self._gauges = gauges

    def problems(self) -> Mapping[str, str]:
        """Why no requests should come now, a sentence for each reason."""
        if self._phase is Phase.STARTING:
            return {"starting": "The server does not listen yet"}
        if self._phase is Phase.STOPPING:
            return {"draining": "The server stops: it finishes what runs, and takes nothing new"}
        problem = self._entrance.problem()
        return {} if problem is None else {"issuer": problem}

    def details(self) -> Mapping[str, Any]:
        """What the operator is told with the health."""
        return {
            "phase": self._phase.value,
            "version": version("mcpserve"),
            "uptime": round(self._reactor.seconds() - self._began, 1),
            "store": "ok" if self._storage.in_step else "behind",
            **(self._gauges.summary() if self._gauges is not None else {}),
        }

    def site(self, tally: Tally) -> McpSite:
        """The site of the operator's own port."""
        # late: the library costs memory and start time, and only who has such a port needs it
        module = importlib.import_module("mcpserve.service.metrics")
        text: Callable[[str], tuple[str, bytes]] = module.Metrics(tally, self._readings, version("mcpserve")).text
        pages = OpsPages(Origins(hosts=self._settings.allow_hosts, any_address=True), text)
        resource = RoutedResource(pages.app, others=Health(self.problems, self.details).places())
        site = McpSite(resource, clock=self._reactor, limits=_LIMITS, refusal=site_refusal, crowd=_CROWD)
        site.noisy = False
        return site

    def _readings(self) -> Iterator[Reading]:
        ready, in_step = not self.problems(), self._storage.in_step
        yield Reading(name="ready", what="Whether requests should come.", value=ready)
        yield Reading(name="store_in_step", what="Whether all that is to be kept is written down.", value=in_step)
        if self._gauges is not None:
            yield from self._gauges.now()
