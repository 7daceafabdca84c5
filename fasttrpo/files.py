"""Files that are whole at any moment: the new one takes the old one's place, or nothing happens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fasttrpo.printable import encoded


class InUseError(ValueError):
    """Another process writes into the folder."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """No other process is in here with the same folder; InUseError if one is.

    The system's lock of the folder itself: it leaves no file, and ends with the process, however
    that ends. Where there is no such lock (Windows, some network disks), nothing is checked.
    """
    lock = _locked(folder)
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _locked(folder: Path) -> int | None:
    """The folder's descriptor, which holds the lock; None where there is no such lock."""
    try:
        import fcntl

        place = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(place)
        raise InUseError(
            f"another process is training in {folder}; wait until it ends, or stop it"
        ) from None
    except OSError:
        os.close(place)
        return None
    return place


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
        file.write(encoded(text))
