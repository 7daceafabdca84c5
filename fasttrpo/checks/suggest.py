"""Error messages that name the nearest thing that exists."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name` (letter case aside), or None when nothing is close."""
    import difflib

    by_lower = {other.lower(): other for other in known}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[matches[0]] if matches else None


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """One line: unknown `what` and its nearest name, or every name when none is near."""
    known = list(known)
    match = nearest(name, known)
    hint = f"did you mean {match!r}?" if match else f"known: {', '.join(known)}"
    return f"unknown {what} {name!r}; {hint}"
