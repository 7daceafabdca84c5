"""The parts that the page's sections share: cards, legends, notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fasttrpo.report.markup import Markup, element


def card(title: str, *inside: Markup | None) -> Markup:
    """A titled card."""
    return element("div", element("h3", title), *inside, class_="card")


def soft(text: str) -> Markup | None:
    """An explanation under a heading; None for ""."""
    return element("p", text, class_="soft") if text else None


def reading(text: str) -> Markup:
    """How to read a chart."""
    return element("p", text, class_="reading")


def legend(keys: Sequence[tuple[str, str]]) -> Markup:
    """keys: (name, classes of the stroke)."""
    return _named((stroke(classes), name) for name, classes in keys)


def stroke(classes: str) -> Markup:
    """A piece of a line, as in a chart."""
    line = element("path", class_=classes, d="M1 4H25")
    return element("svg", line, viewBox="0 0 26 8", class_="stroke", aria_hidden="true")


def squares(names: Sequence[str]) -> Markup:
    """The legend of stacked bars."""
    return _named((element("i", class_=f"p{i}"), name) for i, name in enumerate(names))


def _named(keys: Iterable[tuple[Markup, str]]) -> Markup:
    return element("div", *(element("span", *key) for key in keys), class_="legend")
