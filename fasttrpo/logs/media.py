"""What a log can hold beside numbers and texts, for TensorBoard: pictures, videos, settings.

    from fasttrpo.logs.logger import Figure, HParam, Image, Video

    self.logger.record("trajectory", Figure(figure), exclude=("stdout", "log", "json", "csv"))

Stable-Baselines3's classes of these names serve as well: they are known by their attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Video:
    """frames (N, T, channels, height, width), of N videos side by side: uint8, or 0 to 1."""

    frames: Any
    fps: float = 4


@dataclass(frozen=True)
class Figure:
    """matplotlib's figure, or a list of such of one size; `close`: in pyplot, once it is drawn."""

    figure: Any
    close: bool = True


@dataclass(frozen=True)
class Image:
    """uint8, or 0 to 1; dataformats says which axis is what: CHW, HWC, HW, NCHW, NHWC, ..."""

    image: Any
    dataformats: str = "HWC"


@dataclass(frozen=True)
class HParam:
    """A run's settings, and the tags of the scalars that it is judged by (with any values)."""

    hparam_dict: Mapping[str, Any]
    metric_dict: Mapping[str, float]


_ATTRIBUTES = {
    kind.__name__: [each.name for each in fields(kind)] for kind in (Video, Figure, Image, HParam)
}


def medium(value: Any) -> str:
    """Which of these it is, ours or Stable-Baselines3's; "" for anything else."""
    for kind in type(value).__mro__:
        attributes = _ATTRIBUTES.get(kind.__name__)
        if attributes and all(hasattr(value, name) for name in attributes):
            return kind.__name__
    return ""
