"""Files that are whole at any moment: the new one takes the old one's place, or nothing happens."""

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
    """A file could not be written; the message says what became of the one that was there."""


_UNTOUCHED = "; the file that is there is as it was"
_NOT_SYNCED = "; the new file is in place, but a power cut may still undo that"


@contextmanager
def replacing(path: Path, follow: bool = False) -> Iterator[BinaryIO]:
    """A new file that takes `path`'s place, with its permissions, once all of it is on the disk.

    Until then it has a name of its own in the same folder, so any number of writers may be at one
    path: the last one to finish wins. What killed writers left in the folder is removed.

    follow  a link is followed, and a device or pipe is written to: for paths that the user named.
            Otherwise a link is replaced, and nothing outside the folder is written

    SaveError if it fails, on a full disk say.
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
        fate = _NOT_SYNCED if is_replaced else _UNTOUCHED if os.path.exists(target) else ""
        raise _failure(path, error, fate) from error


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """SaveError, with the path and the reason, for an OSError in here."""
    try:
        yield
    except SaveError:
        raise
    except OSError as error:
        raise _failure(path, error) from error


def _failure(path: Path, error: OSError, fate: str = "") -> SaveError:
    return SaveError(error.errno, f"cannot save {path}: {error.strerror or error}{fate}")


def write_text(path: Path, text: str) -> None:
    """`text`, in UTF-8, in place of whatever `path` was. SaveError as `replacing` has it."""
    with replacing(path) as file:
        file.write(encoded(text))


# -- temporary files -------------------------------------------------------------------------------

_NAME = re.compile(r"\.fasttrpo-[0-9a-f]{16}\.tmp")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_PLAIN = _NO_LINK | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_OLD = 86_400.0  # seconds after which a temporary file is stale where there are no locks


class _Temporary:
    """A new file beside `target`. Its lock tells that its writer lives, and is held until the file
    has its final name.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        old = _permissions(target)
        descriptor, self._path = _created(target.parent, 0o666 if old is None else old.st_mode)
        self.file: BinaryIO = open(self._path, "wb", opener=lambda *_: descriptor)  # noqa: SIM115
        if old is not None:
            _make_like(old, descriptor)

    def take_place(self) -> None:
        """Puts it on the disk and gives it the target's name."""
        self.file.flush()
        os.fsync(self.file.fileno())
        if not _HAS_LOCKS:
            self.file.close()  # Windows renames no open files
        os.replace(self._path, self._target)

    def __enter__(self) -> _Temporary:
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(OSError):  # what could not be written cannot be flushed either
            self.file.close()
        self._path.unlink(missing_ok=True)


def _created(folder: Path, mode: int) -> tuple[int, Path]:
    """A new file's descriptor, with its lock, and its path."""
    while True:
        path = folder / f".fasttrpo-{os.urandom(8).hex()}.tmp"
        descriptor = os.open(path, _NEW | _PLAIN, stat.S_IMODE(mode) & 0o777)
        if not _HAS_LOCKS:
            return descriptor, path
        with suppress(OSError):  # some network disks have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, path
        os.close(descriptor)  # somebody swept it before it was locked


def _permissions(target: Path) -> os.stat_result | None:
    """The old file's, or None."""
    try:
        old = os.lstat(target)
    except FileNotFoundError:
        return None
    return old if stat.S_ISREG(old.st_mode) else None


def _make_like(old: os.stat_result, descriptor: int) -> None:
    """Gives the new file the old one's owner, as far as the system allows, and its mode."""
    if not hasattr(os, "fchown"):
        return
    for owner in ((-1, old.st_gid), (old.st_uid, -1)):
        with suppress(OSError):
            os.fchown(descriptor, *owner)
    with suppress(OSError):
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode) & 0o777)


def _sweep(target: Path) -> None:
    """Removes temporary files whose writers are dead, an earlier version's for `target` too."""
    with suppress(OSError), os.scandir(target.parent) as entries:
        names = [entry.name for entry in entries if _NAME.fullmatch(entry.name)]
        for name in [*names, f".{target.name}.tmp"]:
            with suppress(OSError):
                _remove_if_dead(target.parent / name)


def _remove_if_dead(path: Path) -> None:
    """OSError where the writer lives."""
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
    """Puts the folder's names on the disk, where its file system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows; or a folder that may be written but not read
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
    """The file that is there, for `append`: never one that a link leads to. SaveError."""
    with saving(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | _PLAIN)
        # Unbuffered, so that nothing is left to be written as it is closed.
        return open(path, "ab", buffering=0, opener=lambda *_: descriptor)


def append(file: Any, path: Path, text: str) -> None:
    """Adds the text to an open file. SaveError, with none of it added, where the disk is full."""
    end, rest = file.tell(), encoded(text)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        fate = _UNTOUCHED
        try:
            file.truncate(end)
        except OSError:
            fate = "; its last line may be cut short"
        raise _failure(path, error, fate) from error
