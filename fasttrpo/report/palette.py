"""Colours that readers with any kind of colour vision tell apart (Okabe and Ito 2008), in an order
in which the first few differ most also in lightness, and strokes that differ without colour.
"""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
# The same hues on a dark page.
DARK_COLOURS = ("#58b4f0", "#ff8a4c", "#35c99b", "#eba3cb", "#f5bd45", "#9ad6f7")


def colour(i: int) -> str:
    """Of the i-th group; they come round again."""
    return COLOURS[i % len(COLOURS)]
