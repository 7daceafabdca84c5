"""HTML and SVG elements. `_escaped` escapes every text and every attribute.

Only this module writes markup. A `str` is always text, so a name or path from a run's folder can
never become a tag.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from importlib import resources
from typing import Final

from fasttrpo.checks.printable import readable

_VOID = {"meta"}  # HTML without an end tag
_EMPTY = {"path", "circle"}  # SVG without children


class Markup:
    """Escaped HTML or SVG, created only by the functions below."""

    __slots__ = ("_html",)

    def __init__(self, html: str) -> None:
        self._html: Final = html

    def __str__(self) -> str:
        return self._html


Child = str | Markup | None
NOTHING = Markup("")


def element(tag: str, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """`<tag attributes>children</tag>`, without children that are None and attributes that are None
    or False. Attribute names have `_` for `-` (data_points); `class_` avoids Python's keyword.
    """
    start = f"<{tag}{''.join(_attribute(*each) for each in attributes.items())}"
    if tag in _EMPTY:
        return Markup(f"{start}/>")
    if tag in _VOID:
        return Markup(f"{start}>")
    return Markup(f"{start}>{''.join(map(_inside, children))}</{tag}>")


def joined(children: Iterable[Child], between: str = "") -> Markup:
    """The children in order, separated by a text."""
    return Markup(_escaped(between).join(map(_inside, children)))


def own_file(name: str) -> Markup:
    """The contents of a style sheet or script of this package, unescaped."""
    return Markup(resources.files("fasttrpo.report").joinpath(name).read_text(encoding="utf-8"))


def document(root: Markup) -> str:
    """A complete HTML document."""
    return f"<!DOCTYPE html>\n{root}\n"


def _inside(child: Child) -> str:
    if child is None:
        return ""
    return str(child) if isinstance(child, Markup) else _escaped(child)


def _attribute(name: str, value: str | float | bool | None) -> str:
    name = name.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{_escaped(str(value))}"'


def _escaped(text: str) -> str:
    return html.escape(readable(text), quote=True)
