"""Atomic writes: a new file replaces the old one completely or not at all."""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl

    _HAS_LOCKS = True
except ImportError:  # Windows
    _HAS_LOCKS = False

from fasttrpo.checks.printable import encoded
from fasttrpo.errors import UserError


class InUseError(UserError):
    """Another process is writing to the folder."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Locks the folder for this process. Raises InUseError if another process has locked it.

    The lock is the operating system's. It needs no file, and is released when the process ends,
    even if killed. Does nothing where folders have no locks (Windows, some network disks).
    """
    lock = _locked(folder)
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _locked(folder: Path) -> int | None:
    """The folder's descriptor, which holds the lock; None if folders have no locks."""
    if not _HAS_LOCKS:
        return None
    try:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
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


class SaveError(OSError, UserError):
    """A file could not be written; the message says whether an existing file is unchanged."""


_UNTOUCHED = "; the existing file is unchanged"
_NOT_SYNCED = "; the new file is in place, but a power failure may still undo that"


@contextmanager
def replacing(path: Path, follow: bool = False) -> Iterator[BinaryIO]:
    """Opens a new file that replaces `path`, keeping its permissions, once it is on disk.

    Until then it has a temporary name in the same folder, so several processes can write to one
    path; the last to finish wins. Temporary files of killed processes are removed. Raises SaveError
    on failure, such as a full disk.

    follow  follow links, and write to devices and pipes, for paths that the user named. Otherwise
            a link is replaced, so that nothing outside the folder is written
    """
    target = Path(os.path.realpath(path)) if follow else path
    if follow and os.path.exists(target) and not (target.is_file() or target.is_dir()):
        with saving(path), open(target, "wb") as file:
            yield file
        return
    is_replaced = False
    try:
        _sweep(target)
        with _Temporary(target) as temporary:
            yield temporary.file
            temporary.take_place()
            is_replaced = True
        _sync(target.parent)
    except OSError as error:
        detail = _NOT_SYNCED if is_replaced else _UNTOUCHED if os.path.exists(target) else ""
        raise _failure(path, error, detail) from error


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Turns an OSError of the block into SaveError with path and reason."""
    try:
        yield
    except SaveError:
        raise
    except OSError as error:
        raise _failure(path, error) from error


def _failure(path: Path, error: OSError, detail: str = "") -> SaveError:
    return SaveError(error.errno, f"cannot save {path}: {error.strerror or error}{detail}")


def write_text(path: Path, text: str) -> None:
    """Replaces `path` by a UTF-8 file with this text. Raises SaveError on failure."""
    with replacing(path) as file:
        file.write(encoded(text))


# -- temporary files -------------------------------------------------------------------------------

_NAME = re.compile(r"\.fasttrpo-[0-9a-f]{16}\.tmp")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_PLAIN = _NO_LINK | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_OLD = 86_400.0  # seconds after which a temporary file is stale where there are no locks


class _Temporary:
    """A new file next to `target`, locked until it has its final name: the lock shows that its
    writer is alive.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        old = _permissions(target)
        descriptor, self._path = _created(target.parent, 0o666 if old is None else old.st_mode)
        self.file: BinaryIO = open(self._path, "wb", opener=lambda *_: descriptor)  # noqa: SIM115
        if old is not None:
            _make_like(old, descriptor)

    def take_place(self) -> None:
        """Syncs the file to disk and renames it to the target."""
        self.file.flush()
        os.fsync(self.file.fileno())
        if not _HAS_LOCKS:
            self.file.close()  # Windows cannot rename open files
        os.replace(self._path, self._target)

    def __enter__(self) -> _Temporary:
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(OSError):  # after a failed write, flushing fails too
            self.file.close()
        self._path.unlink(missing_ok=True)


def _created(folder: Path, mode: int) -> tuple[int, Path]:
    """Creates and locks a file; returns its descriptor and path."""
    while True:
        path = folder / f".fasttrpo-{os.urandom(8).hex()}.tmp"
        descriptor = os.open(path, _NEW | _PLAIN, stat.S_IMODE(mode) & 0o777)
        if not _HAS_LOCKS:
            return descriptor, path
        with suppress(OSError):  # some network disks have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, path
        os.close(descriptor)  # another process removed it before it was locked


def _permissions(target: Path) -> os.stat_result | None:
    """The status of the old file, or None."""
    try:
        old = os.lstat(target)
    except FileNotFoundError:
        return None
    return old if stat.S_ISREG(old.st_mode) else None


def _make_like(old: os.stat_result, descriptor: int) -> None:
    """Sets the new file's mode, and its owner if permitted, to those of the old file."""
    if not hasattr(os, "fchown"):
        return
    for owner in ((-1, old.st_gid), (old.st_uid, -1)):
        with suppress(OSError):
            os.fchown(descriptor, *owner)
    with suppress(OSError):
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode) & 0o777)


def _sweep(target: Path) -> None:
    """Removes temporary files of dead processes, including those of earlier versions."""
    with suppress(OSError), os.scandir(target.parent) as entries:
        names = [entry.name for entry in entries if _NAME.fullmatch(entry.name)]
        for name in [*names, f".{target.name}.tmp"]:
            with suppress(OSError):
                _remove_if_dead(target.parent / name)


def _remove_if_dead(path: Path) -> None:
    """Removes the file unless its writer is alive; raises OSError if it is locked."""
    if not _HAS_LOCKS:
        if time.time() - path.stat().st_mtime > _OLD:
            path.unlink()
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | _PLAIN)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    finally:
        os.close(descriptor)


_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EROFS)


def _sync(folder: Path) -> None:
    """Syncs the folder's entries to disk, if its file system supports that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows, or a folder that is writable but not readable
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


# -- files that grow -------------------------------------------------------------------------------


def open_to_append(path: Path) -> Any:
    """Opens an existing file for `append`. Raises SaveError on failure, and for a link."""
    with saving(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | _PLAIN)
        # Unbuffered, so that closing writes nothing.
        return open(path, "ab", buffering=0, opener=lambda *_: descriptor)


def append(file: Any, path: Path, text: str) -> None:
    """Appends text to an open file. If the disk is full, raises SaveError and appends nothing."""
    end, rest = file.tell(), encoded(text)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        detail = _UNTOUCHED
        try:
            file.truncate(end)
        except OSError:
            detail = "; its last line may be incomplete"
        raise _failure(path, error, detail) from error
