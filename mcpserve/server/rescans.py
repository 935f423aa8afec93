"""Looks again and again at the directories that are served, and tells what has changed in them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpserve.errors import ToolError
from mcpserve.features import awaiting
from mcpserve.features.call import Runtime
from mcpserve.features.directory import Directory, Files, changes
from mcpserve.features.timing import Timer
from mcpserve.protocol.notices import resource_updated
from mcpserve.server.publisher import Publisher
from mcpserve.server.resources import Resources

_log = Logger()


class Rescans:
    """The looks at directories. The disk is waited for in a thread, and one look at a directory ends before the next.

    Args:
        resources: Whose directories are looked at.
        runtime: What the looks run on.
        publisher: Where changes are told.
    """

    def __init__(self, resources: Resources, runtime: Runtime, publisher: Publisher) -> None:
        self._resources = resources
        self._runtime = runtime
        self._publisher = publisher
        self._waiting: dict[Directory, Timer | Deferred[Any]] = {}

    def start(self) -> None:
        """Begin with the directories that are served now; those of before are left alone."""
        self.stop()
        for directory in self._resources.library.directories:
            self._later(directory)

    def stop(self) -> None:
        """Look no more."""
        waiting, self._waiting = self._waiting, {}
        for one in waiting.values():
            if isinstance(one, Timer):
                one.cancel()
            else:
                awaiting.cancel(one)

    def _later(self, directory: Directory) -> None:
        if directory.watch > 0:
            self._waiting[directory] = self._runtime.wheel.call_later(directory.watch, self._look, directory)

    def _look(self, directory: Directory) -> None:
        template = self._resources.library.directories[directory]
        try:
            look = self._runtime.threads.run(lambda: directory.scan(template))
        except ToolError:  # all threads are busy: the next look will see as much
            self._later(directory)
            return
        self._waiting[directory] = look
        look.addCallback(self._seen, directory)
        look.addErrback(self._failed, directory)

    def _seen(self, files: Files, directory: Directory) -> None:
        self._later(directory)
        before = directory.files
        found = changes(before, files)
        if not found.updated and not found.listed:
            return
        directory.files = files
        self._resources.refresh()
        for uri in found.updated:
            self._publisher.publish(resource_updated(uri))
        if found.listed:
            differing = [file for uri, file in {**before, **files}.items() if (uri in before) != (uri in files)]
            self._publisher.publish(self._resources.came_or_went(differing))

    def _failed(self, failure: Failure, directory: Directory) -> None:
        if directory not in self._waiting:  # cancelled
            return
        _log.error("{uri} could not be looked at: {reason}", uri=directory.uri, reason=failure.getErrorMessage())
        self._later(directory)
