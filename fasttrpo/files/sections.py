"""Reads and writes the container of `.bin` files: sections of named fields (docs/file-format.md).

Files are not trusted: sizes, names, padding and checksums are checked before a field is read, and
arrays need no more memory than the file.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from fasttrpo.errors import UserError

MAGIC = b"TRPO"
FORMAT = 3
MAX_SECTIONS = 64
MAX_RANK = 2
MAX_NAME = 63

_HEAD = struct.Struct("<4sIQ")
_SECTION = struct.Struct("<16sQ")
_FIELD = struct.Struct("<4B")
_SUM = struct.Struct("<Q")
# The types of fields, by the characters of Python's `struct`; "s" is UTF-8 text.
_DTYPES = {"d": "<f8", "i": "<i4", "q": "<i8", "Q": "<u8", "?": "|b1", "B": "|u1"}
_TYPES = {np.dtype(dtype): code for code, dtype in _DTYPES.items()}

# A section's fields: text, or arrays with at most two axes.
Fields = Mapping[str, Any]


class Damaged(UserError):
    """The bytes are not a file of this format; the message follows the file's name."""


# -- writing ---------------------------------------------------------------------------------------


def pack(sections: Mapping[str, Fields]) -> bytes:
    """The file with these sections, in this order."""
    body = b"".join(_section(name, fields) for name, fields in sections.items())
    return _HEAD.pack(MAGIC, FORMAT, _HEAD.size + len(body)) + body


def _section(name: str, fields: Fields) -> bytes:
    body = b"".join(_field(name, value) for name, value in fields.items())
    size = _SECTION.size + len(body) + _SUM.size
    data = _SECTION.pack(name.encode(), size) + body
    return data + _SUM.pack(zlib.crc32(data))


def _field(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        code, content = "s", value.encode()
        shape: tuple[int, ...] = (len(content),)
    else:
        code, shape = _TYPES[value.dtype.newbyteorder("=")], value.shape
        content = value.astype(_DTYPES[code]).tobytes()
    head = _FIELD.pack(ord(code), len(shape), len(name), 0) + name.encode()
    return _padded(head) + struct.pack(f"<{len(shape)}Q", *shape) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


# -- reading ---------------------------------------------------------------------------------------


def unpack(data: bytes) -> dict[str, dict[str, Any]]:
    """The fields of each section. Raises Damaged."""
    at = _check_head(data)
    sections: dict[str, dict[str, Any]] = {}
    while at < len(data):
        name, size = _section_at(data, at)
        if name in sections or len(sections) == MAX_SECTIONS:
            raise Damaged(f"is damaged: it has too many sections, such as {name!r}")
        sections[name] = _fields(data, at + _SECTION.size, at + size - _SUM.size, name)
        at += size
    return sections


def _check_head(data: bytes) -> int:
    """The position of the first section."""
    if len(data) < 8 or not data.startswith(MAGIC):
        raise Damaged("is not a fasttrpo model")
    number = int.from_bytes(data[4:8], "little")
    if number > FORMAT:
        raise Damaged(
            f"has format {number}, of a newer version of fasttrpo; this one reads format {FORMAT}: "
            "upgrade it"
        )
    if number < FORMAT:
        raise Damaged(
            f"has format {number}, whose bytes lack settings: load it in C by trpo_load of this "
            "version, and save it again"
        )
    if len(data) < _HEAD.size or _HEAD.unpack_from(data)[2] != len(data):
        raise Damaged("is truncated, or something follows it")
    return _HEAD.size


def _section_at(data: bytes, at: int) -> tuple[str, int]:
    """The name and size of the section at this position, after a check of its checksum."""
    left = len(data) - at
    raw, size = _SECTION.unpack_from(data, at) if left >= _SECTION.size else (b"", 0)
    name = raw.rstrip(b"\0")
    if not _SECTION.size + _SUM.size <= size <= left or size % 8 or not name or b"\0" in name:
        raise Damaged("is damaged: a section has no valid name or size")
    end = at + size - _SUM.size
    text = name.decode("latin-1")
    if _SUM.unpack_from(data, end)[0] != zlib.crc32(memoryview(data)[at:end]):
        raise Damaged(f"is damaged: the checksum of its section {text} is wrong")
    return text, size


def _fields(data: bytes, at: int, end: int, section: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    while at < end:
        name, value, at = _field_at(data, at, end, section)
        if name in fields:
            raise Damaged(f"is damaged: its section {section} has {name!r} twice")
        fields[name] = value
    return fields


def _field_at(data: bytes, at: int, end: int, section: str) -> tuple[str, Any, int]:
    """The name and value of the field at this position, and the position after it."""
    bad = Damaged(f"is damaged: a field of its section {section} is malformed")
    code, rank, length, zero = _FIELD.unpack_from(data, at)
    kind, start = chr(code), at + _FIELD.size
    at = start + length + -(_FIELD.size + length) % 8
    if zero or rank > MAX_RANK or not 0 < length <= MAX_NAME or at + 8 * rank > end:
        raise bad
    name = data[start : start + length].decode("latin-1")
    shape = struct.unpack_from(f"<{rank}Q", data, at)
    padding = data[start + length : at]
    at += 8 * rank
    if kind not in (*_DTYPES, "s"):
        raise bad
    size = prod(shape) * (1 if kind == "s" else np.dtype(_DTYPES[kind]).itemsize)
    after = at + size + -size % 8
    if max(shape, default=0) > len(data) or after > end:
        raise bad
    if any(padding) or any(data[at + size : after]):
        raise bad
    return name, _value(data, kind, shape, at, bad), after


def _value(data: bytes, kind: str, shape: tuple[int, ...], at: int, bad: Damaged) -> Any:
    if kind == "s":
        try:
            return data[at : at + prod(shape)].decode()
        except UnicodeDecodeError:
            raise bad from None
    dtype = np.dtype(_DTYPES[kind])
    count = prod(shape)
    if kind == "?" and any(byte > 1 for byte in data[at : at + count]):
        raise bad
    array = np.frombuffer(data, dtype, count, at) if count else np.zeros(0, dtype)
    return array.reshape(shape).astype(dtype.newbyteorder("="))
