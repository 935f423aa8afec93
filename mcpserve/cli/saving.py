"""`--output FILE`: what a server sent, byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from mcpserve.cli.content import blobs_of
from mcpserve.cli.things import Saved, Thing
from mcpserve.errors import ConfigurationError

STANDARD_OUTPUT = "-"


def check(path: str | None, out: TextIO) -> None:
    """See before anything is asked of a server whether its answer could be saved.

    Raises:
        ConfigurationError: It could not.
    """
    if path == STANDARD_OUTPUT:
        if out.isatty():
            raise ConfigurationError("--output - writes what may be no text; not to a terminal")
    elif path is not None and (Path(path).is_dir() or not Path(path).absolute().parent.is_dir()):
        raise ConfigurationError(f"--output: {path} can't be a file")


def save(thing: Thing, path: str, out: TextIO) -> list[Saved]:
    """Save the bytes in a thing; its text, if it has no other bytes. Several get numbers: `out.png`, `out-2.png`.

    Raises:
        ConfigurationError: The file can't be written.
    """
    saved = []
    for number, blob in enumerate(blobs_of(thing), 1):
        place = _numbered(path, number)
        try:
            if path == STANDARD_OUTPUT:
                out.flush()
                out.buffer.write(blob.data)
                out.buffer.flush()
            else:
                Path(place).write_bytes(blob.data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise ConfigurationError(f"--output: {error}") from error
        saved.append(Saved(path=place, mime_type=blob.mime_type, size=len(blob.data)))
    return saved


def _numbered(path: str, number: int) -> str:
    if number == 1 or path == STANDARD_OUTPUT:
        return path
    place = Path(path)
    return str(place.with_name(f"{place.stem}-{number}{place.suffix}"))
