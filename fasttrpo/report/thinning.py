"""Curves with as many points as a screen shows, drawn as if they had all.

Source: Jugel et al. 2014, "M4: A Visualization-Oriented Time Series Data Aggregation": of each
column of pixels the first, the last, the least and the greatest value are kept. So no peak is
lost, however short, and a line through these covers the same pixels.
"""

from __future__ import annotations

import numpy as np

PER_COLUMN = 4


def kept(x: np.ndarray, ys: tuple[np.ndarray, ...], columns: int) -> np.ndarray:
    """Which points to draw, as rising indices: of each of `columns` equal stretches of x (G,),
    which must not fall, the first and the last point, and where each of ys (G,) is least and
    greatest. All, where there are not more anyway.
    """
    if len(x) <= PER_COLUMN * columns:
        return np.arange(len(x))
    edges = np.linspace(x[0], x[-1], columns + 1)
    column = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, columns - 1)
    first = np.flatnonzero(np.diff(column, prepend=-1))
    last = np.append(first[1:], len(x)) - 1
    found = [first, last]
    for y in ys:
        by_value = np.lexsort((y, column))
        found += [by_value[first], by_value[last]]
    return np.unique(np.concatenate(found))
