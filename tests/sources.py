"""The project's source files, for tests that read them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
CSRC, PACKAGE = ROOT / "csrc", ROOT / "fasttrpo"
C_FILES = sorted([*CSRC.glob("*/*.c"), *CSRC.glob("*/*.h")])
C_ASIDE = sorted(
    p for top in ("tests/c", "tests/fuzz", "bench/c") for p in ROOT.glob(f"{top}/*.[ch]")
)
C_ASIDE += sorted(p for top in ("csrc/*", "tests/cpp") for p in ROOT.glob(f"{top}/*.[ch]pp"))
PYTHON_FILES = sorted(p for top in ("fasttrpo", "tests") for p in (ROOT / top).rglob("*.py"))


def read(path):
    return path.read_text(encoding="utf-8")


def name_of(path):
    return path.relative_to(ROOT).as_posix()
