"""Error messages that suggest the nearest known name."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, ignoring case; None if none is close."""
    import difflib

    by_lower = {other.lower(): other for other in known}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[matches[0]] if matches else None


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """A one-line message with the nearest known name, or all of them if none is close."""
    known = list(known)
    match = nearest(name, known)
    hint = f"did you mean {match!r}?" if match else f"known: {', '.join(known)}"
    return f"unknown {what} {name!r}; {hint}"
