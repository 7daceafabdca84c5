"""The test suite's means to run few cases: pairwise coverage and tables."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path

import pytest
from pairs import cover, key, pairwise
from tables import table


def pairs_of(rows):
    return {pair for row in rows for pair in combinations(enumerate(row), 2)}


@pytest.mark.parametrize("sizes", [(2, 2, 2), (4, 4, 3, 2), (1, 5, 2), (3, 3, 3, 3, 3)])
def test_every_pair_is_covered_by_few_rows(sizes):
    rows = list(product(*map(range, sizes)))
    chosen = cover(rows)
    assert pairs_of(rows[i] for i in chosen) == pairs_of(rows)
    largest = sorted(sizes)[-2:]
    assert largest[0] * largest[1] <= len(chosen) <= 1.7 * largest[0] * largest[1]
    assert chosen == cover(rows)


def test_pairs_that_never_occur_are_not_required():
    """A linear policy has no activation: that the rows show it suffices."""
    rows = [(depth, act, dist) for depth, act, dist in product((0, 1, 2), "ab", "xyz")]
    rows = [row for row in rows if row[0] or row[1] == "a"]
    assert pairs_of(rows[i] for i in cover(rows)) == pairs_of(rows)


def test_pairwise_rows_contain_every_pair():
    axes = [[{}, {"a": 1}], [1, True, 1.0], "xyz", [None]]  # dicts are not hashable
    rows = pairwise(*axes)
    assert len(rows) < 18
    assert {(repr(row[1]), row[2]) for row in rows} == {
        (repr(b), c) for b in axes[1] for c in "xyz"
    }
    assert len({(id(row[0]), row[2]) for row in rows}) == 6


def test_equal_values_of_different_types_differ():
    assert len({key(1), key(1.0), key(True), key("1")}) == 4
    assert key([1]) != key([1])


def make_table(rows, names="n"):
    values = []

    @table(names, rows)
    def test(fixture, n):
        values.append(n)
        if n == "skip":
            pytest.skip("why")
        assert n % 2, "even"

    return values, test


def test_a_table_runs_every_row_and_names_failures():
    values, test = make_table([1, 2, pytest.param(3), 4])
    with pytest.raises(BaseExceptionGroup, match="2 of 4 rows fail") as failed:
        test(fixture=None)
    assert values == [1, 2, 3, 4]
    notes = [error.__notes__ for error in failed.value.exceptions]
    assert notes == [["row 1: {'n': 2}"], ["row 3: {'n': 4}"]]


def test_a_skipped_row_is_reported_and_hides_no_failure():
    values, test = make_table(["skip", 1])
    with pytest.raises(pytest.skip.Exception, match="why"):
        test(fixture=None)
    assert values == ["skip", 1]
    with pytest.raises(BaseExceptionGroup):
        make_table(["skip", 2])[1](fixture=None)


def test_a_table_that_tests_nothing_is_rejected():
    with pytest.raises(AssertionError, match="needs rows"):
        make_table([])
    with pytest.raises(AssertionError, match="does not take"):
        make_table([1], names="m")
    with pytest.raises(AssertionError, match="cannot have marks"):
        make_table([pytest.param(1, marks=pytest.mark.slow)])


@table("b", [1, 2])
@pytest.mark.parametrize("a", [1, 2])
@table("c, d", [(1, 2), (3, 4)])
def test_tables_and_parameters_may_be_stacked(a, b, c, d, tmp_path):
    """Each row has its own empty folder as working directory."""
    assert (b, d - c) in ((1, 1), (2, 1))
    assert list(tmp_path.iterdir()) == []
    assert Path.cwd() == tmp_path
    (tmp_path / "file").touch()
