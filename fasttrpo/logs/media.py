"""Values of a log other than numbers and strings, for TensorBoard: pictures, videos, settings.

    from fasttrpo.logs.logger import Figure, HParam, Image, Video

    self.logger.record("trajectory", Figure(figure), exclude=("stdout", "log", "json", "csv"))

Stable-Baselines3's classes of these names work too; they are recognised by their attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Video:
    """N videos in a grid: frames (N, T, channels, height, width), uint8 or 0 to 1."""

    frames: Any
    fps: float = 4


@dataclass(frozen=True)
class Figure:
    """A matplotlib figure, or a list of figures of one size; `close` closes it in pyplot."""

    figure: Any
    close: bool = True


@dataclass(frozen=True)
class Image:
    """A picture, uint8 or 0 to 1; dataformats names its axes: CHW, HWC, HW, NCHW, NHWC, ..."""

    image: Any
    dataformats: str = "HWC"


@dataclass(frozen=True)
class HParam:
    """A run's settings, and the tags of the scalars that measure it; their values are ignored."""

    hparam_dict: Mapping[str, Any]
    metric_dict: Mapping[str, float]


_ATTRIBUTES = {
    kind.__name__: [each.name for each in fields(kind)] for kind in (Video, Figure, Image, HParam)
}


def medium(value: Any) -> str:
    """The name of the value's class, fasttrpo's or Stable-Baselines3's; "" for other values."""
    for kind in type(value).__mro__:
        attributes = _ATTRIBUTES.get(kind.__name__)
        if attributes and all(hasattr(value, name) for name in attributes):
            return kind.__name__
    return ""
