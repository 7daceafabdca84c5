"""Pictures as arrays, and as PNG files in memory."""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np

from fasttrpo.errors import UserError

_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> PNG's colour type


def tile(frames: np.ndarray) -> np.ndarray:
    """Arranges E pictures (E, height, width, depth) in an approximately square grid."""
    n_rows = math.ceil(math.sqrt(len(frames)))
    n_columns = math.ceil(len(frames) / n_rows)
    height, width, depth = frames.shape[1:]
    grid = np.zeros((n_rows * n_columns, height, width, depth), frames.dtype)
    grid[: len(frames)] = frames
    grid = grid.reshape(n_rows, n_columns, height, width, depth).swapaxes(1, 2)
    return grid.reshape(n_rows * height, n_columns * width, depth)


def as_bytes(values: np.ndarray) -> np.ndarray:
    """Converts pixels to uint8; other types range from 0 to 1."""
    if values.dtype == np.uint8:
        return values
    scaled = np.asarray(values, np.float64) * 255
    return np.nan_to_num(scaled).clip(0, 255).astype(np.uint8)


def png(frames: np.ndarray, fps: float = 1.0) -> bytes:
    """Encodes pictures (T, height, width, depth) uint8 as a PNG, animated if T > 1.

    depth  1 grey, 2 grey and opacity, 3 RGB, 4 RGB and opacity
    fps    pictures per second

    Raises ValueError for other shapes. The format: https://www.w3.org/TR/png-3/
    """
    if frames.ndim != 4 or frames.shape[3] not in _COLOURS or 0 in frames.shape:
        raise UserError(f"pictures must have 1 to 4 channels, got an array of shape {frames.shape}")
    n_frames, height, width, depth = frames.shape
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOURS[depth], 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", header)]
    if n_frames == 1:
        parts.append(_chunk(b"IDAT", _packed(frames[0])))
    else:
        parts.append(_chunk(b"acTL", struct.pack(">II", n_frames, 0)))
        parts += _animation(frames, _milliseconds(fps))
    return b"".join([*parts, _chunk(b"IEND", b"")])


def _milliseconds(fps: float) -> int:
    """The duration of each picture."""
    if not fps > 0:
        raise UserError(f"fps must be a number > 0, got {fps!r}")
    return min(max(round(1000 / fps), 1), 2**16 - 1)


def _animation(frames: np.ndarray, delay: int) -> list[bytes]:
    """The control and data chunk of each frame; all except the first data chunk are numbered."""
    height, width = frames.shape[1:3]
    chunks, number = [], 0
    for frame in frames:
        control = struct.pack(">IIIIIHHBB", number, width, height, 0, 0, delay, 1000, 0, 0)
        chunks.append(_chunk(b"fcTL", control))
        if number == 0:
            chunks.append(_chunk(b"IDAT", _packed(frame)))
        else:
            number += 1
            chunks.append(_chunk(b"fdAT", struct.pack(">I", number) + _packed(frame)))
        number += 1
    return chunks


def _packed(frame: np.ndarray) -> bytes:
    """The compressed rows, each preceded by the number of its filter: 0, none."""
    return zlib.compress(np.pad(frame.reshape(len(frame), -1), ((0, 0), (1, 0))).tobytes())


def _chunk(kind: bytes, data: bytes) -> bytes:
    """Length, kind, data, checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
