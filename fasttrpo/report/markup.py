"""HTML and SVG as elements. Every text and every attribute passes through `_escaped`.

Only this module writes markup: a `str` is always text, so a name or a path from a run's folder
cannot become a tag, wherever it is used.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from importlib import resources
from typing import Final

from fasttrpo.checks.printable import readable

_VOID = {"meta"}  # HTML's, without an end tag
_EMPTY = {"path", "circle"}  # SVG's, which have nothing inside


class Markup:
    """HTML or SVG that is already escaped; made by the functions below only."""

    __slots__ = ("_html",)

    def __init__(self, html: str) -> None:
        self._html: Final = html

    def __str__(self) -> str:
        return self._html


Child = str | Markup | None
NOTHING = Markup("")


def element(tag: str, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """`<tag attributes>children</tag>`; None is left out, and so is an attribute that is False.

    Attributes are named as in HTML, with `_` for `-`: data_points; `class_`, as class is Python's.
    """
    start = f"<{tag}{''.join(_attribute(*each) for each in attributes.items())}"
    if tag in _EMPTY:
        return Markup(f"{start}/>")
    if tag in _VOID:
        return Markup(f"{start}>")
    return Markup(f"{start}>{''.join(map(_inside, children))}</{tag}>")


def joined(children: Iterable[Child], between: str = "") -> Markup:
    """All of them, one after the other, with a text between them."""
    return Markup(_escaped(between).join(map(_inside, children)))


def own_file(name: str) -> Markup:
    """A style sheet or a script of this package, as it is."""
    return Markup(resources.files("fasttrpo.report").joinpath(name).read_text(encoding="utf-8"))


def document(root: Markup) -> str:
    """A whole page."""
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
