"""Makes text safe to write to any stream and file, although names and streams need not be UTF-8.

Python represents a byte of a name that it cannot decode as a surrogate, which no codec encodes.
"""

from __future__ import annotations

import codecs
import os
import re
import sys
from contextlib import suppress
from typing import Any

_BYTES_OR_ESCAPES = "fasttrpo.bytes_or_escapes"
# Control characters, marks that change the direction of text, and noncharacters.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]"
)


def readable(text: str) -> str:
    """The text with noncharacters and terminal controls replaced by escapes.

    Names that the system's encoding could not decode are decoded as UTF-8 if possible.
    """
    if not _UNPRINTABLE.search(text):
        return text
    with suppress(UnicodeEncodeError):  # surrogates that do not stand for bytes
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _UNPRINTABLE.sub(_escape, text)


def _escape(found: re.Match) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def name_on_disk(text: str) -> str:
    """The name for system calls, with surrogates for UTF-8 bytes that the system's encoding lacks,
    as in a C locale without UTF-8.
    """
    try:
        return os.fsdecode(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:  # surrogates that do not stand for bytes
        return text


def name_in_text(text: str) -> str:
    """A name from the system, decoded as UTF-8 if possible: the inverse of `name_on_disk`."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text


def encoded(text: str) -> bytes:
    """UTF-8 with escapes for surrogates, for files."""
    return text.encode("utf-8", "backslashreplace")


def make_streams_safe() -> None:
    """Makes stdout and stderr escape characters that their encodings lack, instead of raising."""
    codecs.register_error(_BYTES_OR_ESCAPES, _bytes_or_escapes)
    for stream in (sys.stdout, sys.stderr):
        errors = getattr(stream, "errors", None)
        if errors == "strict":
            _set_errors(stream, "backslashreplace")
        elif errors == "surrogateescape":  # Python's choice in a C locale; it fails for letters
            _set_errors(stream, _BYTES_OR_ESCAPES)


def _set_errors(stream: Any, errors: str) -> None:
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=errors)


def _bytes_or_escapes(error: UnicodeError) -> tuple[str | bytes, int]:
    """Surrogates as the bytes that they stand for, other characters as escapes."""
    assert isinstance(error, UnicodeEncodeError)
    parts = [_byte_or_escape(char) for char in error.object[error.start : error.end]]
    return b"".join(parts), error.end


def _byte_or_escape(char: str) -> bytes:
    is_byte = "\udc80" <= char <= "\udcff"
    return char.encode("ascii", "surrogateescape" if is_byte else "backslashreplace")
