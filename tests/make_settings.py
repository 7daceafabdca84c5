"""Writes what is generated from the core's table of settings (csrc/include/trpo_settings.h).

In a tree whose extensions are built, `python -m tests.make_settings` writes the table for where
there are no extensions, fasttrpo/settings/table.py, and the reference, docs/settings.md.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "fasttrpo" / "settings" / "table.py"
REFERENCE = ROOT / "docs" / "settings.md"

_TYPES = {"int": "int", "real": "float", "flag": "bool", "word": "str", "seed": "int"}
_TYPES |= {"sizes": "tuple[int, ...]"}
_HEAD = '''"""The core's settings, from csrc/include/trpo_settings.h by tests/make_settings.py."""

# fmt: off
from __future__ import annotations

from dataclasses import dataclass
from math import inf

from fasttrpo.settings.row import Row

ROWS = {row.name: row for row in (
'''
_CLASS = '''
)}


@dataclass(frozen=True)
class CoreSettings:
    """A value for each setting of the core; those without a default come first."""

'''


def table_text(rows: list[dict[str, Any]]) -> str:
    """fasttrpo/settings/table.py, of what the extension's settings_table() tells."""
    own = [SimpleNamespace(**row | {"default": _default(row)}) for row in rows]
    required = max(i for i, row in enumerate(own) if row.default is None)
    fields = [
        f"    {row.name}: {_TYPES[row.type]}" + (f" = {row.default!r}" if i > required else "")
        for i, row in enumerate(own)
    ]
    return _HEAD + "\n".join(map(_row_text, own)) + _CLASS + "\n".join(fields) + "\n"


def _default(row: dict[str, Any]) -> Any:
    """As Python has it: a word, a bool, ...; None for a default that is not legal."""
    initial, of_sizes = row["default"], row["type"] == "sizes"
    if of_sizes or row["type"] == "seed":
        return None if initial > 0 else () if of_sizes else 0
    if row["type"] == "word":
        return row["words"][int(initial)]
    if not row["low"] <= initial <= row["high"]:
        return None
    return {"int": int, "real": float, "flag": bool}[row["type"]](initial)


def _row_text(row: Any) -> str:
    number = float if row.type == "real" else int
    low, high = (repr(number(x)) if x < float("inf") else "inf" for x in (row.low, row.high))
    head = f"{row.name!r}, {row.type!r}, {row.default!r}, {low}, {high}, {row.low_open}"
    lines = textwrap.wrap(row.meaning, 82, drop_whitespace=False)
    meaning = "\n".join(f"        {line!r}" for line in lines)
    return f"    Row({head}, {row.high_open},\n        {row.words!r},\n{meaning}),"


def reference_text() -> str:
    """docs/settings.md."""
    from fasttrpo.settings.reference import page

    return page()


def main() -> None:
    """Writes both files: the table first, which all settings are imported from."""
    from fasttrpo.core._core64 import settings_table

    TABLE.write_text(table_text(settings_table()), encoding="utf-8")
    REFERENCE.parent.mkdir(exist_ok=True)
    REFERENCE.write_text(reference_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
