"""The file of API keys: read by the server, changed by `mcpserve keys`.

    {"format": "mcpserve keys 1", "keys": [{"id": ..., "name": ..., "sha256": ..., "groups": [...], "scopes": [...],
                                            "created": "2026-08-01T12:00:00Z", "expires": null}]}

1. It is replaced as a whole, so that nobody ever reads half of it. A new one is for its owner alone; one that is there
   keeps its owner and its group.
2. Who changes it holds a lock, so that no change is lost.
3. What is not understood in it is an error: a key that would be narrower in a later version is not taken for a wider
   one in this.
4. The server writes when a key was last used into a file beside it, `FILE.used`. Nothing depends on that.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mcpserve.errors import ConfigurationError
from mcpserve.policy.keys import ID, NAME, ApiKey
from mcpserve.policy.scopes import SCOPE

FORMAT = "mcpserve keys 1"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_MEMBERS = {"id", "name", "sha256", "groups", "scopes", "created", "expires"}


def read_keys(path: Path) -> list[ApiKey]:
    """Read the file.

    Raises:
        ConfigurationError: It can't be read, is not well formed, or others than its owner may write it.
    """
    try:
        with open(path, "rb", opener=_open) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ConfigurationError(f"{path}: is no regular file")
            if stat.S_IMODE(status.st_mode) & 0o022:
                raise ConfigurationError(f"{path}: others than its owner may write it; chmod go-w would change that")
            text = file.read()
    except OSError as error:
        raise ConfigurationError(
            f"{path}: the file of keys can't be read: {error.strerror}; mcpserve keys add makes one"
        ) from error
    return _decoded(text, path)


@contextmanager
def changing(path: Path) -> Iterator[list[ApiKey]]:
    """Change the file: the list may be changed, and is written when the block ends without an exception.

    Raises:
        ConfigurationError: It can't be read or written, or is not well formed.
    """
    path = Path(os.path.realpath(path))
    try:
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise ConfigurationError(f"{path.parent}: can't be opened: {error.strerror}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        keys = read_keys(path) if path.exists() else []
        yield keys
        _replace(path, _encoded(keys))
    finally:
        os.close(folder)


def read_used(path: Path) -> dict[str, str]:
    """When keys were last used, by id; empty if nobody knows."""
    try:
        found = json.loads(_used(path).read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(id): str(time) for id, time in found.items()} if isinstance(found, dict) else {}


def write_used(path: Path, used: Mapping[str, float], known: Iterable[str]) -> None:
    """Write down when keys were last used.

    Args:
        path: The file of keys.
        used: Seconds since the epoch, by id; what is written already and not in it stays.
        known: The ids that there are; others are forgotten.

    Raises:
        ConfigurationError: It can't be written.
    """
    merged = read_used(path) | {id: spelled(time) for id, time in used.items()}
    kept = set(known)
    text = json.dumps({id: time for id, time in sorted(merged.items()) if id in kept}, indent=1)
    _replace(_used(path), text.encode("ascii"), durable=False)


def spelled(time: float) -> str:
    """A time as it stands in the file."""
    return datetime.fromtimestamp(time, UTC).strftime(_TIME)


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # opening a FIFO would wait for its writer


def _used(path: Path) -> Path:
    return path.with_name(path.name + ".used")


def _replace(path: Path, content: bytes, durable: bool = True) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            _keep_owner(path, descriptor)
            file.write(content)
            file.flush()
            if durable:
                os.fsync(descriptor)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ConfigurationError(f"{path}: can't be written: {error.strerror}") from error


def _keep_owner(path: Path, descriptor: int) -> None:
    """Root may change the file of a server that runs as somebody else; that one has to read it afterwards."""
    try:
        before, now = path.stat(), os.fstat(descriptor)
    except FileNotFoundError:
        return
    if (before.st_uid, before.st_gid) != (now.st_uid, now.st_gid):
        os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode) & 0o640 | 0o600)


def _encoded(keys: Sequence[ApiKey]) -> bytes:
    rows = [
        {
            "id": key.id,
            "name": key.name,
            "sha256": key.digest.hex(),
            "groups": list(key.groups),
            "scopes": list(key.scopes),
            "created": spelled(key.created),
            "expires": None if key.expires is None else spelled(key.expires),
        }
        for key in keys
    ]
    return json.dumps({"format": FORMAT, "keys": rows}, indent=1).encode("ascii") + b"\n"


def _decoded(text: bytes, path: Path) -> list[ApiKey]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or set(content) != {"format", "keys"}:
        raise ConfigurationError(f"{path}: not a file of keys as this version of mcpserve writes it ({FORMAT!r})")
    if not isinstance(content["keys"], list):
        raise ConfigurationError(f"{path}: keys must be a list")
    keys = [_key(row, f"{path}: key {number}") for number, row in enumerate(content["keys"], 1)]
    if len({key.id for key in keys}) < len(keys):
        raise ConfigurationError(f"{path}: two keys have the same id")
    return keys


def _key(row: Any, where: str) -> ApiKey:
    if not isinstance(row, dict) or set(row) != _MEMBERS:
        raise ConfigurationError(f"{where}: must have exactly {', '.join(sorted(_MEMBERS))}")
    for member in ("id", "name", "sha256", "created"):
        if not isinstance(row[member], str):
            raise ConfigurationError(f"{where}: {member} must be a text")
    if not ID.fullmatch(row["id"]):
        raise ConfigurationError(f"{where}: {row['id'][:64]!r} is no id of a key")
    if not NAME.fullmatch(row["name"]):
        raise ConfigurationError(f"{where}: {row['name']!r} is no name of a key")
    for member in ("groups", "scopes"):
        if not isinstance(row[member], list) or not all(isinstance(one, str) for one in row[member]):
            raise ConfigurationError(f"{where}: {member} must be a list of texts")
    if not all(map(SCOPE.fullmatch, row["scopes"])):
        raise ConfigurationError(f"{where}: a scope has no spaces, quotes or backslashes")
    return ApiKey(
        id=row["id"],
        name=row["name"],
        digest=_digest(row["sha256"], where),
        groups=tuple(row["groups"]),
        scopes=tuple(row["scopes"]),
        created=_time(row["created"], where),
        expires=None if row["expires"] is None else _time(row["expires"], where),
    )


def _digest(text: str, where: str) -> bytes:
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise ConfigurationError(f"{where}: sha256 must be 64 hexadecimal digits")
    return digest


def _time(text: Any, where: str) -> float:
    try:
        return datetime.strptime(text, _TIME).replace(tzinfo=UTC).timestamp()
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{where}: {text!r} must be a time as in 2026-08-01T12:00:00Z") from error
