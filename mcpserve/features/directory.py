"""A directory whose files are resources.

    handbook = Directory("docs://handbook", "/srv/handbook")

A plugin holds it in a variable. Its files are listed, and `docs://handbook/{+path}` reads them. Nothing outside of it
is ever read: symbolic links are not followed, neither when it is listed nor when a file is opened, and a path can't
step up. Reading waits for the disk, so it happens in a thread.
"""

from __future__ import annotations

import mimetypes
import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

import attrs

from mcpserve.errors import NotFound, PluginError, ToolError
from mcpserve.features.resource import Resource, build_resource, resource
from mcpserve.features.schema import Arg
from mcpserve.features.templates import UriTemplate
from mcpserve.protocol.types import Annotations, Contents, ResourceDefinition

_INSIDE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_ENCODINGS: Mapping[str, str] = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
_TEXTS = frozenset(
    {
        "application/javascript",
        "application/json",
        "application/sql",
        "application/toml",
        "application/x-ndjson",
        "application/x-sh",
        "application/xml",
        "application/yaml",
    }
)


@attrs.frozen(kw_only=True)
class File:
    """A file of a directory, as it was when the directory was looked at.

    Args:
        definition: What resources/list says of it.
        stamp: Differs when the file has changed.
        origin: The plugin that it comes from.
        resource: What reads it.
    """

    definition: ResourceDefinition
    stamp: tuple[int, int, int]
    origin: str
    resource: Resource = attrs.field(eq=False, repr=False)

    @property
    def name(self) -> str:
        """Its URI."""
        return self.definition.uri


Files = Mapping[str, File]


@attrs.define(eq=False)
class Directory:
    """Serves the files below a directory as resources.

    Args:
        uri: The URI in front of the paths, such as "docs://handbook".
        root: The directory.
        name: Its name; by default the last part of the URI.
        title: Its name for people.
        description: What is in it.
        limit: Bytes of the largest file that is read.
        most: How many files are listed; those beyond are read nevertheless.
        hidden: Whether files and directories whose names begin with "." are served.
        watch: Seconds between two looks at what has changed; 0 for never.
        ttl: Seconds for which a client may keep what it has read.
        cache_scope: "public" lets a cache give it to everybody; "private" only to the one who has read it.
        groups: Who may read them: callers in one of these groups; None for everybody.
        scopes: What the credential of a caller must allow: all of these.
        enabled: False serves it only when the operator asks for it by name.

    Spec: Resources, Security Considerations.
    """

    uri: str
    root: str | os.PathLike[str]
    name: str | None = attrs.field(default=None, kw_only=True)
    title: str | None = attrs.field(default=None, kw_only=True)
    description: str = attrs.field(default="A file, by its path in the directory.", kw_only=True)
    limit: int = attrs.field(default=4 * 1024 * 1024, kw_only=True)
    most: int = attrs.field(default=1000, kw_only=True)
    hidden: bool = attrs.field(default=False, kw_only=True)
    watch: float = attrs.field(default=5.0, kw_only=True)
    ttl: float = attrs.field(default=0, kw_only=True)
    cache_scope: Literal["private", "public"] = attrs.field(default="private", kw_only=True)
    groups: Collection[str] | None = attrs.field(default=None, kw_only=True)
    scopes: Collection[str] = attrs.field(default=(), kw_only=True)
    enabled: bool = attrs.field(default=True, kw_only=True)
    files: Files = attrs.field(init=False, default=MappingProxyType({}))

    def build(self, origin: str) -> Resource:
        """Look at the directory, and make the template that reads its files.

        Raises:
            PluginError: The directory can't be read, or the URI is none.
        """
        if not os.path.isdir(self.root):
            raise PluginError(f"{origin}: directory {self.uri!r}: {os.fspath(self.root)} is no directory")
        prefix = self.uri.rstrip("/") if not self.uri.endswith("://") else self.uri.removesuffix("/")
        name = self.name or prefix.rpartition("/")[2] or prefix.partition(":")[0]

        def read(path: str) -> Contents:
            return self.read(path)

        read.__annotations__["path"] = Annotated[str, Arg("The path in the directory.", completer=self._paths)]
        built = build_resource(
            resource(
                prefix + "/{+path}",
                name=name,
                title=self.title,
                description=self.description,
                ttl=self.ttl,
                cache_scope=self.cache_scope,
                groups=self.groups,
                scopes=self.scopes,
                thread=True,
                enabled=self.enabled,
            )(read),
            origin,
        )
        self.files = self.scan(built)
        return built

    def read(self, path: str) -> Contents:
        """Read a file. Waits for the disk.

        Raises:
            NotFound: There is no such file, or it is none that is served.
            ToolError: It is too large.
        """
        parts = path.split("/")
        if any(part in ("", ".", "..") or "\0" in part or (part[0] == "." and not self.hidden) for part in parts):
            raise NotFound
        try:
            descriptor = self._open(parts)
        except (OSError, ValueError):
            raise NotFound from None
        with open(descriptor, "rb") as file:
            data = file.read(self.limit + 1)
            size = os.fstat(descriptor).st_size
        if len(data) > self.limit:
            raise ToolError(f"The file has {size} bytes; no more than {self.limit} are read")
        return _contents(data, _mime_type(parts[-1]))

    def scan(self, template: Resource) -> Files:
        """Look at what is there. Waits for the disk.

        Args:
            template: What `build` made.
        """
        found: dict[str, File] = {}
        for path, facts in self._walk():
            definition = _definition(template.template, path, facts)
            stamp = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
            found[definition.uri] = File(definition=definition, stamp=stamp, origin=template.origin, resource=template)
            if len(found) == self.most:
                break
        return found

    def _open(self, parts: Sequence[str]) -> int:
        """The descriptor of a regular file."""
        descriptor = self._walk_to(parts)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise NotFound
        return descriptor

    def _walk_to(self, parts: Sequence[str]) -> int:
        # Step by step, each one refused if it is a link: whoever exchanges a directory for a link meanwhile gains
        # nothing. O_NONBLOCK: opening a FIFO would wait for its writer.
        folder = os.open(self.root, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        try:
            for part in parts[:-1]:
                inner = os.open(part, _INSIDE | os.O_DIRECTORY, dir_fd=folder)
                os.close(folder)
                folder = inner
            return os.open(parts[-1], _INSIDE | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)

    def _walk(self) -> Iterator[tuple[str, os.stat_result]]:
        """The regular files with their paths, in order."""
        root = os.path.realpath(self.root)
        for folder, inner, names, descriptor in os.fwalk(root):
            inner[:] = sorted(filter(self._is_served, inner))
            start = Path(folder).relative_to(root)
            for name in sorted(filter(self._is_served, names)):
                try:
                    facts = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                except OSError:
                    continue
                if stat.S_ISREG(facts.st_mode):
                    yield (start / name).as_posix(), facts

    def _is_served(self, name: str) -> bool:
        # A name that is not UTF-8, or that no URI brings back, could be listed but not be asked for.
        encodable = "\\" not in name and not any("\ud800" <= letter <= "\udfff" for letter in name)
        return encodable and (self.hidden or not name.startswith("."))

    def _paths(self, value: str) -> list[str]:
        names = [file.definition.name for file in self.files.values()]
        return [name for name in names if name.startswith(value)]


@attrs.frozen(kw_only=True)
class Changes:
    """What differs between two looks at a directory.

    Args:
        updated: The URIs of files that changed or are gone.
        listed: True when files came or are gone.
    """

    updated: Sequence[str]
    listed: bool


def changes(before: Files, after: Files) -> Changes:
    """Compare two looks at a directory."""
    updated = [uri for uri, file in before.items() if uri not in after or after[uri].stamp != file.stamp]
    return Changes(updated=updated, listed=before.keys() != after.keys())


def _definition(template: UriTemplate, path: str, facts: os.stat_result) -> ResourceDefinition:
    changed = datetime.fromtimestamp(int(facts.st_mtime), UTC)
    return ResourceDefinition(
        uri=template.expand({"path": path}),
        name=path,
        mime_type=_mime_type(path),
        size=facts.st_size,
        annotations=Annotations(last_modified=changed.isoformat().replace("+00:00", "Z")),
    )


def _mime_type(name: str) -> str | None:
    kind, encoding = mimetypes.guess_type(name, strict=False)
    return kind if encoding is None else _ENCODINGS.get(encoding, "application/octet-stream")


def _contents(data: bytes, kind: str | None) -> Contents:
    """A text if that is what it should be and is, else a blob."""
    if kind is None or kind in _TEXTS or kind.startswith("text/") or kind.endswith(("+json", "+xml")):
        try:
            return Contents(data.decode("utf-8"), mime_type=kind)
        except UnicodeDecodeError:
            pass
    return Contents(data, mime_type=kind)
