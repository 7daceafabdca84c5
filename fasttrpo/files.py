"""Files that are whole at any moment: the new one takes the old one's place, or nothing happens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class SaveError(OSError):
    """A file could not be written; what stood in its place is as it was."""


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file in the same folder that takes `path`'s place once all of it is on the disk.

    SaveError if that fails, a full disk say. The new file's name is always the same: what a kill
    leaves of it, the next one overwrites.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with saving(path):
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """SaveError, with the path and the reason, for an OSError in here."""
    try:
        yield
    except OSError as error:
        kept = "; the file that is there is as it was" if path.exists() else ""
        reason = error.strerror or str(error)
        raise SaveError(error.errno, f"cannot save {path}: {reason}{kept}") from error


def write_text(path: Path, text: str) -> None:
    """`text`, in UTF-8, in place of whatever `path` was. SaveError as `replacing` has it."""
    with replacing(path) as file:
        file.write(text.encode())
