"""Colours that readers with any kind of colour vision can tell apart (Okabe and Ito 2008), ordered
so that the first few also differ most in lightness.
"""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
# The same hues on a dark page.
DARK_COLOURS = ("#58b4f0", "#ff8a4c", "#35c99b", "#eba3cb", "#f5bd45", "#9ad6f7")


def colour(i: int) -> str:
    """The i-th group's colour; they repeat."""
    return COLOURS[i % len(COLOURS)]
