"""The source tree, where it is imported itself: a clone in which Python was started.

It hides an installation that stands later on the path, and has no extensions of its own until it
is built in place (`pip install -e .`). If the installed extensions were built from the very sources
that the tree has, it takes them; otherwise it says what is missing. setup.py uses this file, too.
"""

from __future__ import annotations

import os
import sys
import warnings
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path

# In an installation: the fingerprint of the sources that its extensions were built from.
RECORD = "_sources.sha256"
_SOURCES = ("setup.py", "fasttrpo/core/*.pyx", "fasttrpo/core/*.pxi", "csrc/*/*.c", "csrc/*/*.h")
_EXTENSIONS = ("_core32", "_core64", "_envs")

_bare: Path | None = None
_has_warned = False


def fingerprint(root: Path) -> str:
    """SHA-256 of the names and contents of all that the extensions are built from."""
    import hashlib

    digest = hashlib.sha256()
    for path in sorted(path for pattern in _SOURCES for path in root.glob(pattern)):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def complete(room: list[str]) -> None:
    """Adds an installation's extensions to the `__path__` of the source tree's room, if these
    are missing there and were built from the same sources; else a RuntimeWarning says how to build
    them, unless the portable backend is what FASTTRPO_BACKEND asks for.
    """
    global _bare, _has_warned
    folder = Path(room[0])
    root = folder.parent.parent
    if _has_extension(folder):
        return
    installed = _installed(root)
    if installed is not None and _is_built_from(installed, root):
        room.append(str(installed))
        return
    _bare = root
    _has_warned = os.environ.get("FASTTRPO_BACKEND") != "portable"
    if _has_warned:
        others = f" (those in {installed} were built from other sources)" if installed else ""
        warnings.warn(
            f"fasttrpo is imported from its source tree, {_bare}, which has no compiled "
            f"extensions{others}: the slower portable backend runs, and there are no compiled "
            f"environments. To build them in the tree: {_command(_bare)}",
            RuntimeWarning,
            stacklevel=4,  # the import of fasttrpo
        )


def has_warned() -> bool:
    """Whether the user has read that this is a source tree without extensions."""
    return _has_warned


def remedy() -> str:
    """What to do where extensions are missing."""
    if _bare is None:
        return "install fasttrpo where a C compiler is present"
    return f"build them in the source tree that is imported: {_command(_bare)}"


def _command(root: Path) -> str:
    import shlex

    return f"pip install -e {shlex.quote(str(root))}"


def _has_extension(folder: Path) -> bool:
    return any(
        (folder / (name + end)).exists() for name in _EXTENSIONS for end in EXTENSION_SUFFIXES
    )


def _installed(root: Path) -> Path | None:
    """The room in an installation with extensions, on the path but not in `root`."""
    places = [place for place in sys.path if Path(place or ".").resolve() != root.resolve()]
    spec = PathFinder.find_spec("fasttrpo", places)
    folder = Path(spec.origin).parent / "core" if spec and spec.origin else None
    return folder if folder and _has_extension(folder) else None


def _is_built_from(installed: Path, root: Path) -> bool:
    try:
        recorded = (installed / RECORD).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return False
    return recorded == fingerprint(root)
