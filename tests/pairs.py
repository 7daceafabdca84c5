"""Pairwise coverage: from a full product of parameters, select few cases that cover every pair.

Almost every interaction fault shows in a pair of values (Kuhn, Wallace and Gallo, Software
fault interactions and implications for software testing, IEEE TSE 30(6), 2004). conftest.py applies
this to each test with three or more parameters; @pytest.mark.full_product exempts a test, and
`pytest --full-product` all of them.
"""

from __future__ import annotations

from itertools import combinations, product


def cover(rows):
    """Indices, in order, of rows that together contain each pair of values found in any row.

    rows: tuples of one length, of hashable values. Pairs that occur in no row are not required, so
    constraints need no description. Greedy and deterministic: repeatedly picks the row with the
    most uncovered pairs, the first one on a tie.
    """
    pairs = [set(combinations(enumerate(row), 2)) for row in rows]
    missing, chosen = set().union(*pairs), []
    while missing:
        best = max(range(len(rows)), key=lambda i: len(pairs[i] & missing))
        chosen.append(best)
        missing -= pairs[best]
    return sorted(chosen)


def key(value):
    """A hashable key for a parameter's value: 1, 1.0 and True differ."""
    try:
        hash(value)
    except TypeError:
        return id(value)
    return type(value), value


def pairwise(*axes):
    """Rows for a table: a subset of the axes' product that contains every pair of values."""
    rows = list(product(*axes))
    return [rows[i] for i in cover([tuple(map(key, row)) for row in rows])]


def select(items):
    """(kept, left out) of pytest's items."""
    tests, kept = {}, set()
    for item in items:
        tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for cases in tests.values():
        rows = [
            tuple(map(key, item.callspec.params.values()))
            for item in cases
            if hasattr(item, "callspec") and item.get_closest_marker("full_product") is None
        ]
        pairwise = len(rows) == len(cases) and len(rows[0]) > 2
        kept.update(cases[i] for i in (cover(rows) if pairwise else range(len(cases))))
    return [i for i in items if i in kept], [i for i in items if i not in kept]
