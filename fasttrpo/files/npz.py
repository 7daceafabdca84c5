"""Reads the `.npz` archives that `numpy.savez` writes, and no others.

Files are not trusted. The archive's directory and the arrays' headers are checked before data is
read: members are uncompressed and do not overlap, and arrays are complete and have an expected
type. So an array never needs more memory than its bytes in the file. Objects are not unpickled.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from dataclasses import dataclass, replace
from math import prod
from typing import BinaryIO

import numpy as np

MAX_MEMBERS = 100
_SUFFIX = ".npy"

# Records of the zip format (APPNOTE.TXT).
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_WIDE = 0xFFFFFFFF  # the number is in the extra field
_STREAMED = 0x08  # written to a pipe: sizes follow the data
_CHUNK = 2**20  # bytes read at once

# NumPy's header, version 1.0, and the longest that is accepted.
_MAGIC = b"\x93NUMPY\x01\x00"
_MAX_HEADER = 1000
_HEADER = re.compile(
    r"\{'descr': '([^']*)', 'fortran_order': False, 'shape': \(([0-9, ]{0,100})\), \} *\n"
)


class NoArchive(ValueError):
    """The file is not a zip archive, or is truncated."""


@dataclass(frozen=True)
class _Member:
    """A file in the archive, whose local header is at `offset` and whose data ends by `limit`."""

    name: str
    flags: int
    crc: int
    size: int
    offset: int
    limit: int = 0


@dataclass(frozen=True)
class Header:
    """Type, shape and position of an array. dtype: in NumPy's notation, such as "<f8"."""

    dtype: str
    shape: tuple[int, ...]
    at: int
    size: int
    crc_before: int
    crc: int


class Archive:
    """An open archive. Raises NoArchive or ValueError if `numpy.savez` cannot have written it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._members = {member.name: member for member in _members(file)}

    @property
    def files(self) -> list[str]:
        """The members' names."""
        return [*self._members]

    @property
    def names(self) -> list[str]:
        """The arrays' names. Raises ValueError if a member is not an array."""
        for file in self._members:
            if not file.endswith(_SUFFIX):
                raise ValueError(f"its member {file} is not an array")
        return [file.removesuffix(_SUFFIX) for file in self._members]

    def header(self, name: str, dtypes: tuple[str, ...]) -> Header:
        """The array's header. Raises ValueError unless the array is complete and its type is one of
        `dtypes`, where "<U" means strings of any length.
        """
        member = self._members.get(name + _SUFFIX)
        if member is None:
            raise ValueError(f"it has no {name}")
        try:
            return _header(self._file, member, dtypes)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    def array(self, name: str, header: Header) -> np.ndarray:
        """The array that `header` describes. Raises ValueError if its checksum is wrong."""
        data = np.empty(header.size, np.uint8)
        crc, done = header.crc_before, 0
        self._file.seek(header.at)
        while done < header.size:
            chunk = _read(self._file, min(_CHUNK, header.size - done))
            data[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
            crc, done = zlib.crc32(chunk, crc), done + len(chunk)
        if crc != header.crc:
            raise ValueError(f"{name}: its checksum is wrong")
        dtype = np.dtype(header.dtype)
        # An empty string has no bytes.
        array = data.view(dtype) if header.size else np.zeros(prod(header.shape), dtype)
        return array.reshape(header.shape).astype(dtype.newbyteorder("="), copy=False)


def _read(file: BinaryIO, count: int) -> bytes:
    """Reads `count` bytes. Raises ValueError if there are fewer."""
    parts = []
    while count > 0:
        part = file.read(count)
        if not part:
            raise ValueError("it is truncated")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


# -- the archive -----------------------------------------------------------------------------------


def _members(file: BinaryIO) -> list[_Member]:
    """The members in order of position. Raises ValueError if they overlap."""
    start, count, data = _directory(file)
    members, at = [], 0
    for _ in range(count):
        member, at = _entry(data, at)
        members.append(member)
    if at != len(data):
        raise ValueError("its directory is damaged")
    if len({member.name for member in members}) < count:
        raise ValueError("two of its members have the same name")
    members.sort(key=lambda member: member.offset)
    limits = [*(member.offset for member in members[1:]), start]
    for member, limit in zip(members, limits, strict=True):
        if member.offset + _LOCAL.size + len(member.name) + member.size > limit:
            raise ValueError(f"its member {member.name} overlaps the next one")
    return [replace(each, limit=limit) for each, limit in zip(members, limits, strict=True)]


def _directory(file: BinaryIO) -> tuple[int, int, bytes]:
    """The directory's position, number of entries and bytes."""
    file.seek(0, os.SEEK_END)
    at = file.tell() - _END.size
    if at < 0:
        raise NoArchive
    file.seek(at)
    mark, disk, first_disk, here, count, size, start, comment = _END.unpack(_read(file, _END.size))
    if mark != b"PK\x05\x06" or comment:
        raise NoArchive
    wide = _wide_end(file, at - _LOCATOR.size)
    if wide is not None:
        at, disk, first_disk, here, count, size, start = wide
    if disk or first_disk or here != count or start + size != at:
        raise ValueError("its directory is damaged")
    if not 0 < count <= MAX_MEMBERS or size > MAX_MEMBERS * 1000:
        raise ValueError(f"it has {count} members, not 1..{MAX_MEMBERS}")
    file.seek(start)
    return start, count, _read(file, size)


def _wide_end(file: BinaryIO, at: int) -> tuple[int, ...] | None:
    """Position and end record of a 64-bit archive; None if it is not one."""
    if at < _END_64.size:
        return None
    file.seek(at)
    mark, _, place, disks = _LOCATOR.unpack(_read(file, _LOCATOR.size))
    if mark != b"PK\x06\x07":
        return None
    if place != at - _END_64.size or disks > 1:
        raise ValueError("its directory is damaged")
    file.seek(place)
    mark, _, _, _, *numbers = _END_64.unpack(_read(file, _END_64.size))
    if mark != b"PK\x06\x06":
        raise ValueError("its directory is damaged")
    return place, *numbers


def _entry(data: bytes, at: int) -> tuple[_Member, int]:
    """A member, and the position of the next entry."""
    if at + _ENTRY.size > len(data):
        raise ValueError("its directory is damaged")
    fields = _ENTRY.unpack_from(data, at)
    mark, flags, method, crc, packed, size = (fields[i] for i in (0, 3, 4, 7, 8, 9))
    n_name, n_extra, n_comment, disk, offset = (fields[i] for i in (10, 11, 12, 13, 16))
    at += _ENTRY.size
    name, extra = data[at : at + n_name], data[at + n_name : at + n_name + n_extra]
    if mark != b"PK\x01\x02" or n_comment or disk or not name.isascii():
        raise ValueError("its directory is damaged")
    text = name.decode()
    if method != 0 or flags & ~_STREAMED:
        raise ValueError(f"its member {text} is compressed or encrypted; models are not")
    size, packed, offset = _widened([size, packed, offset], extra)
    if size != packed:
        raise ValueError(f"its member {text} has two sizes")
    return _Member(text, flags, crc, size, offset), at + n_name + n_extra


def _widened(numbers: list[int], extra: bytes) -> list[int]:
    """The numbers, with those beyond 32 bits taken from the extra field in order.

    Python before 3.11.4 always repeats both sizes there (CPython issue 103861).
    """
    count = numbers.count(_WIDE)
    if not count and extra == struct.pack("<2H2Q", 1, 16, *numbers[:2]):
        return numbers
    head = struct.pack("<2H", 1, 8 * count) if count else b""
    if len(extra) != len(head) + 8 * count or not extra.startswith(head):
        raise ValueError("a header in the archive is damaged")
    wide = iter(struct.unpack(f"<{count}Q", extra[len(head) :]))
    return [next(wide) if number == _WIDE else number for number in numbers]


# -- an array --------------------------------------------------------------------------------------


def _header(file: BinaryIO, member: _Member, dtypes: tuple[str, ...]) -> Header:
    at = _data_of(file, member)
    lead = _read(file, min(len(_MAGIC) + 2, member.size))
    length = int.from_bytes(lead[len(_MAGIC) :], "little")
    if not lead.startswith(_MAGIC) or length > min(_MAX_HEADER, member.size - len(lead)):
        raise ValueError("it has no NumPy header of version 1.0")
    text = _read(file, length)
    found = _HEADER.fullmatch(text.decode("latin-1"))
    if found is None:
        raise ValueError("its header is not NumPy's for arrays of numbers in C order")
    dtype, shape = found[1], tuple(int(n) for n in found[2].replace(",", " ").split())
    size = _item_size(dtype, dtypes) * prod(shape)
    if len(lead) + length + size != member.size:
        raise ValueError(
            f"its size of {member.size} bytes does not match shape {shape} and type {dtype}"
        )
    before = zlib.crc32(text, zlib.crc32(lead))
    return Header(dtype, shape, at + len(lead) + length, size, before, member.crc)


def _item_size(dtype: str, legal: tuple[str, ...]) -> int:
    """The bytes of one item. Raises ValueError if the type is not legal."""
    text = re.fullmatch(r"<U(\d{1,9})", dtype) if "<U" in legal else None
    if text is not None:
        return 4 * int(text[1])
    if dtype not in legal:
        hint = ": Python objects are not loaded (allow_pickle=False)" if "O" in dtype else ""
        raise ValueError(f"its type is {dtype!r}, not {' or '.join(legal)}{hint}")
    return np.dtype(dtype).itemsize


def _data_of(file: BinaryIO, member: _Member) -> int:
    """Moves `file` to the member's bytes; returns their position. Checks the local header."""
    file.seek(member.offset)
    fields = _LOCAL.unpack(_read(file, _LOCAL.size))
    mark, flags, method, crc, packed, size, n_name, n_extra = (
        fields[i] for i in (0, 2, 3, 6, 7, 8, 9, 10)
    )
    at = member.offset + _LOCAL.size + n_name + n_extra
    if mark != b"PK\x03\x04" or method or at + member.size > member.limit:
        raise ValueError("its local header is damaged")
    name, extra = _read(file, n_name), _read(file, n_extra)
    local = (name, flags, crc, *_widened([size, packed], extra))
    known = (member.name.encode(), member.flags, member.crc, member.size, member.size)
    n_known = 2 if flags & _STREAMED else len(known)  # the sizes of streamed data follow it
    if local[:n_known] != known[:n_known]:
        raise ValueError("its local header does not match the archive's directory")
    return at
