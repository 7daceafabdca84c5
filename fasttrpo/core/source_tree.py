"""Support for importing fasttrpo from its source tree, e.g. with Python started in a clone.

The tree hides an installation later on the path, and has no extensions until they are built in
place (`pip install -e .`). If an installation's extensions were built from the tree's sources, they
are used; otherwise a warning says how to build them. setup.py uses this file too.
"""

from __future__ import annotations

import os
import sys
import warnings
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path

# The file in an installation with the fingerprint of the sources of its extensions.
RECORD = "_sources.sha256"
_SOURCES = ("setup.py", "fasttrpo/core/*.pyx", "fasttrpo/core/*.pxi", "csrc/*/*.c", "csrc/*/*.h")
_EXTENSIONS = ("_core32", "_core64", "_envs")

_unbuilt: Path | None = None
_has_warned = False


def fingerprint(root: Path) -> str:
    """SHA-256 of the names and contents of the extensions' sources."""
    import hashlib

    digest = hashlib.sha256()
    for path in sorted(path for pattern in _SOURCES for path in root.glob(pattern)):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def complete(path: list[str]) -> None:
    """If the source tree has no extensions, adds those of an installation to the package's
    `__path__` if they were built from the same sources. Otherwise a RuntimeWarning says how to
    build them, unless FASTTRPO_BACKEND selects the portable backend.
    """
    global _unbuilt, _has_warned
    folder = Path(path[0])
    root = folder.parent.parent
    if _has_extension(folder):
        return
    installed = _installed(root)
    if installed is not None and _is_built_from(installed, root):
        path.append(str(installed))
        return
    _unbuilt = root
    _has_warned = os.environ.get("FASTTRPO_BACKEND") != "portable"
    if _has_warned:
        others = f" (those in {installed} were built from other sources)" if installed else ""
        warnings.warn(
            f"fasttrpo is imported from its source tree, {_unbuilt}, which has no compiled "
            f"extensions{others}: using the slower portable backend, without compiled "
            f"environments. To build them in the tree: {_command(_unbuilt)}",
            RuntimeWarning,
            stacklevel=4,  # the import of fasttrpo
        )


def has_warned() -> bool:
    """Whether `complete` has warned about a source tree without extensions."""
    return _has_warned


def remedy() -> str:
    """How to get the missing extensions."""
    if _unbuilt is None:
        return "install fasttrpo where a C compiler is present"
    return f"build them in the source tree that is imported: {_command(_unbuilt)}"


def _command(root: Path) -> str:
    import shlex

    return f"pip install -e {shlex.quote(str(root))}"


def _has_extension(folder: Path) -> bool:
    return any(
        (folder / (name + end)).exists() for name in _EXTENSIONS for end in EXTENSION_SUFFIXES
    )


def _installed(root: Path) -> Path | None:
    """The folder `core` of an installation outside `root` that has extensions, or None."""
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
