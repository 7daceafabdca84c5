"""Reduces curves to the points that a screen can show, without changing how they look.

Source: Jugel et al. 2014, "M4: A Visualization-Oriented Time Series Data Aggregation": keeping the
first, last, smallest and largest value of each column of pixels preserves every peak, and the line
covers the same pixels.
"""

from __future__ import annotations

import numpy as np

PER_COLUMN = 4


def visible(x: np.ndarray, ys: tuple[np.ndarray, ...], columns: int) -> np.ndarray:
    """The ascending indices of the points to draw: in each of `columns` equal intervals of x (G,),
    which must not decrease, the first and last point and the minimum and maximum of each of ys
    (G,). All points if there are few enough.
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
