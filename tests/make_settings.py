"""Generates Python's table of settings and its companions from the core's table.

`python -m tests.make_settings`, in a tree whose extensions are built, writes three files:

    fasttrpo/settings/table.py      the table of csrc/include/trpo_settings.h
    fasttrpo/settings/keywords.py   the keywords of `TRPO` for type checkers, from `Settings`
    docs/settings.md                the reference, from both
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import Field, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "fasttrpo" / "settings" / "table.py"
KEYWORDS = ROOT / "fasttrpo" / "settings" / "keywords.py"
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

_KEYWORDS = '''"""The settings for type checkers, from `Settings` by tests/make_settings.py."""

# fmt: off
from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

import numpy as np

from fasttrpo.settings.schedules import Schedule


class Changes(TypedDict, total=False):
    """The keywords of `TRPO.change`."""

{changes}


class Overrides(Changes, total=False):
    """The keywords of `TRPO.load`."""

{overrides}


class Keywords(Overrides, total=False):
    """The keywords of `TRPO`; after the settings, those of sb3-contrib that have no effect."""

{keywords}


class Attributes:
    """The settings as attributes of `TRPO`. It exists for type checkers only."""

{attributes}
'''


def table_text(rows: list[dict[str, Any]]) -> str:
    """fasttrpo/settings/table.py, from the extension's settings_table()."""
    own = [SimpleNamespace(**row | {"default": _default(row)}) for row in rows]
    required = max(i for i, row in enumerate(own) if row.default is None)
    fields = [
        f"    {row.name}: {_TYPES[row.type]}" + (f" = {row.default!r}" if i > required else "")
        for i, row in enumerate(own)
    ]
    return _HEAD + "\n".join(map(_row_text, own)) + _CLASS + "\n".join(fields) + "\n"


def _default(row: dict[str, Any]) -> Any:
    """The default as a Python value; None if it is not legal, so the caller must set it."""
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


def keywords_text() -> str:
    """fasttrpo/settings/keywords.py, from the fields of `Settings`."""
    from fasttrpo.settings.sb3_arguments import KEYWORDS as NO_EFFECT
    from fasttrpo.settings.user import FIXED, Settings

    own = {each.name: each for each in fields(Settings) if each.name != "policy"}
    types = {name: _types(each) for name, each in own.items()}
    read_only = (*FIXED, "n_envs")
    no_effect = {name: " | ".join(map(_type_of, of[::-1])) for name, (of, _) in NO_EFFECT.items()}
    no_effect |= {"sde_sample_freq": "int", "device": "Any"}
    accepted = {name: accepts for name, (_, accepts) in types.items()}
    return _KEYWORDS.format(
        changes=_declared({n: t for n, t in accepted.items() if n not in read_only}),
        overrides=_declared({"n_envs": accepted["n_envs"]}),
        keywords=_declared({n: accepted[n] for n in FIXED} | no_effect),
        attributes="\n".join(_attribute(n, *of, n in read_only) for n, of in types.items()),
    )


def _types(each: Field[Any]) -> tuple[str, str]:
    """The types of a setting's value as stored, and as users may pass it."""
    words = each.metadata["check"].words
    kept, accepts = str(each.type), each.metadata["accepts"] or str(each.type)
    literal = f"Literal[{', '.join(map(repr, words))}]" if words else "str"
    return re.sub(r"\bstr\b", literal, kept), re.sub(r"\bstr\b(?!])", literal, accepts)


def _type_of(value: Any) -> str:
    """The type that has only this value; for a dict, any mapping."""
    if isinstance(value, dict):
        return "Mapping[str, Any]"
    return "None" if value is None else f"Literal[{value!r}]"


def _declared(types: dict[str, str]) -> str:
    return "\n".join(f"    {name}: {of}" for name, of in types.items())


def _attribute(name: str, kept: str, accepts: str, is_read_only: bool) -> str:
    """A declaration; a property if the types that can be set and read differ."""
    if kept == accepts and not is_read_only:
        return f"    {name}: {kept}"
    raises = "        raise NotImplementedError"
    getter = f"    @property\n    def {name}(self) -> {kept}:\n{raises}"
    value = f"\n        self, value: {accepts}\n    "
    setter = f"    @{name}.setter\n    def {name}({value}) -> None:\n{raises}"
    return getter if is_read_only else f"{getter}\n{setter}"


def reference_text() -> str:
    """docs/settings.md."""
    from fasttrpo.settings.reference import page

    return page()


def main() -> None:
    """Writes the files, the table first: the others are made from it."""
    from fasttrpo.core._core64 import settings_table

    TABLE.write_text(table_text(settings_table()), encoding="utf-8")
    KEYWORDS.write_text(keywords_text(), encoding="utf-8")
    REFERENCE.parent.mkdir(exist_ok=True)
    REFERENCE.write_text(reference_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
