"""Averages over seeds: against known values, and for runs that differ."""

from __future__ import annotations

import numpy as np
import pytest
from run_folders import write_run
from tables import table

from fasttrpo.report.curves import average, axis, bin_column, common_grid, curve
from fasttrpo.report.groups import group_runs
from fasttrpo.report.runs import load
from fasttrpo.report.statistics import MIN_SEEDS, iqm, stratified_bootstrap

# -- statistics -----------------------------------------------------------------------------------


@table(
    ("values", "expected"),
    [
        ([3.0], 3.0),
        ([1.0, 2.0, 9.0], 4.0),  # three values: none is left out
        ([100.0, 1.0, 2.0, -50.0], 1.5),
        ([0.0, 1.0, 2.0, 3.0, 1000.0], 2.0),  # a quarter of five rounds to one
        ([*range(8), 99.0, -99.0], 3.5),
    ],
)
def test_interquartile_mean_of_known_values(values, expected):
    assert iqm(np.array(values)) == pytest.approx(expected)
    columns = np.stack([values, np.add(values, 10)], axis=1)
    assert iqm(columns) == pytest.approx([expected, expected + 10])


def test_the_band_has_its_nominal_coverage():
    """For the mean of normals, whose interval is known, about 95 of 100 bands cover 0."""
    draw = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        runs = draw.normal(size=(30, 1))
        low, high = stratified_bootstrap([runs], lambda x: x.mean(axis=0), n_resamples=300)
        covered += low[0] <= 0 <= high[0]
    assert 0.87 <= covered / 200 <= 0.99


def test_the_band_has_the_theoretical_width():
    """The bootstrap's standard error of a mean is std / sqrt(n)."""
    runs = np.random.default_rng(1).normal(3, 2, size=(400, 1))
    low, high = stratified_bootstrap([runs], lambda x: x.mean(axis=0))
    width = 2 * 1.96 * runs.std() / np.sqrt(len(runs))
    assert (high - low)[0] == pytest.approx(width, rel=0.08)
    assert (high + low)[0] / 2 == pytest.approx(runs.mean(), abs=0.1 * width)


def test_strata_are_resampled_separately():
    """Two tasks with constant results: all resamples are equal, however far apart the tasks are."""
    strata = [np.zeros((3, 2)), np.full((5, 2), 100.0)]
    low, high = stratified_bootstrap(strata, lambda x: x.mean(axis=0))
    assert np.array_equal(low, high)
    assert low == pytest.approx([62.5, 62.5])
    mixed = stratified_bootstrap([np.concatenate(strata)], lambda x: x.mean(axis=0))
    assert mixed[0][0] < mixed[1][0]


def test_complete_runs_are_resampled():
    """A run's points stay together: two that cancel in each run always sum to 0."""
    one = np.random.default_rng(2).normal(size=(6, 1))
    low, high = stratified_bootstrap([np.hstack([one, -one])], lambda x: x.sum(axis=0).sum()[None])
    assert np.abs([low, high]).max() < 1e-12


def test_the_same_seed_gives_the_same_band():
    runs = np.random.default_rng(3).normal(size=(5, 4))
    first, again, other = (stratified_bootstrap([runs], seed=s) for s in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


# -- curves ---------------------------------------------------------------------------------------


def group_of(folder):
    return group_runs(load([folder])[0])[0]


def test_seeds_are_averaged_where_all_have_values(tmp_path):
    """Records at different steps are interpolated; the grid lies within all runs."""
    for seed, (n, every) in enumerate([(40, 100), (25, 150), (30, 110)]):
        steps = every * np.arange(1, n + 1)
        columns = {"num_timesteps": steps, "return_mean": 2.0 * steps}
        write_run(tmp_path / f"seed{seed}", n, seed, total=5000, **columns)
    found = average(group_of(tmp_path), "return_mean")
    assert (found.x[0], found.x[-1]) == (150, 3300)
    for y in (found.mean, found.iqm, found.low, found.high):
        assert y == pytest.approx(2 * found.x)
    assert [c.x[-1] for c in found.curves] == [4000, 3750, 3300]


def test_the_band_contains_the_interquartile_mean(tmp_path):
    for seed in range(6):
        write_run(tmp_path / f"seed{seed}", seed=seed)
    found = average(group_of(tmp_path), "return_mean")
    assert found.iqm == pytest.approx(found.mean)  # 0 to 5, without 0 and 5: still 2.5
    assert (found.low < found.iqm).all()
    assert (found.iqm < found.high).all()


@table("n", [2, 3, 4, 5])
def test_the_band_of_few_seeds_is_their_range(n, tmp_path):
    for seed in range(n):
        write_run(tmp_path / f"seed{seed}", seed=seed, return_mean=np.full(40, 10.0 * seed))
    found = average(group_of(tmp_path), "return_mean")
    is_range = found.low[0] == 0 and found.high[0] == 10 * (n - 1)
    assert is_range == (n < MIN_SEEDS)
    assert (found.low <= found.iqm).all()
    assert (found.iqm <= found.high).all()


def ends(folder, x):
    """Where the average of the folder's seeds ends, its last value, and the run that ended it."""
    found = average(group_of(folder), "return_mean", x)
    stopped = found.stopped
    values = pytest.approx(found.x[-1]), pytest.approx(found.mean[-1])
    return *values, stopped and stopped.name


def test_a_finished_seed_keeps_its_last_value(tmp_path):
    """Over seconds, the fastest seed; over steps, a seed that a callback ended early."""
    values = [np.full(40, 10.0), np.full(40, 30.0)]
    for seed, speed in enumerate((1000.0, 250.0)):
        columns = {"steps_per_second": np.full(40, speed), "return_mean": values[seed]}
        write_run(tmp_path / "fast" / f"seed{seed}", seed=seed, **columns)
    assert ends(tmp_path / "fast", "seconds") == (16.0, 20.0, None)
    write_run(tmp_path / "early" / "seed0", total=4000, return_mean=values[0])
    columns = {"ended": [""] * 9 + ["callback"], "return_mean": np.full(10, 30.0)}
    write_run(tmp_path / "early" / "seed1", 10, 1, total=4000, **columns)
    assert ends(tmp_path / "early", "steps") == (4000.0, 20.0, None)


@table("x", ["steps", "seconds"])
@table("failed", [True, False])
def test_the_average_ends_where_a_seed_stopped(failed, x, tmp_path):
    """And names that seed."""
    for seed in range(2):
        write_run(tmp_path / f"seed{seed}", seed=seed)
    stopped = write_run(tmp_path / "seed2", 10, 2, total=4000)
    if failed:
        (stopped / "error.txt").write_text("Traceback\nRuntimeError: boom\n")
    assert ends(tmp_path, x) == ({"steps": 1000.0, "seconds": 1.0}[x], 51.0, "seed 2")


def test_without_config_the_longest_run_sets_the_total(tmp_path):
    for seed, n in enumerate((40, 40, 25)):
        (write_run(tmp_path / f"seed{seed}", n, seed) / "config.json").unlink()
    assert ends(tmp_path, "steps") == (2500.0, 126.0, "seed2")


def test_the_average_of_one_run_is_that_run(tmp_path):
    found = average(group_of(write_run(tmp_path / "run")), "return_mean")
    assert found.iqm == pytest.approx(5.0 * np.arange(1, 41))
    assert found.low is None


def test_rows_before_the_first_episode_and_missing_columns_are_left_out(tmp_path):
    values = 5.0 * np.arange(1, 41)
    values[:7] = np.nan
    write_run(tmp_path / "seed0", return_mean=values)
    write_run(tmp_path / "seed1", return_mean=None)
    group = group_of(tmp_path)
    assert curve(group.runs[0], "return_mean").x[0] == 800
    assert len(average(group, "return_mean").curves) == 1
    assert average(group, "no such column") is None


def test_runs_without_common_steps_have_no_average(tmp_path):
    write_run(tmp_path / "a", total=20_000, num_timesteps=100 * np.arange(1, 41))
    write_run(tmp_path / "b", seed=1, total=20_000, num_timesteps=9000 + 100 * np.arange(1, 41))
    found = average(group_of(tmp_path), "return_mean")
    assert len(found.x) == 0
    assert len(found.curves) == 2


def test_a_grid_may_have_one_point(tmp_path):
    run = write_run(tmp_path / "seed0", n=1)
    curves = [curve(group_of(run).runs[0], "return_mean")] * 2
    assert common_grid(curves, 100.0).tolist() == [100.0]


def test_seconds_are_summed_from_steps_per_second(tmp_path):
    speed = np.where(np.arange(40) < 20, 1000.0, 500.0)
    run = group_of(write_run(tmp_path / "run", steps_per_second=speed)).runs[0]
    assert axis(run, "seconds")[[0, 19, 39]] == pytest.approx([0.1, 2.0, 6.0])


def test_bins_cover_all_iterations(tmp_path):
    """Few records stay as they are; many become medians and percentiles of bins."""
    few = bin_column(group_of(write_run(tmp_path / "few")), "return_mean")
    assert few.median == pytest.approx(5.0 * np.arange(1, 41))
    assert np.array_equal(few.low, few.high)
    n = 1000
    alternating = np.where(np.arange(n) % 2, 1.0, 0.0)
    many = bin_column(group_of(write_run(tmp_path / "many", n, kl=alternating)), "kl")
    assert len(many.x) == 100
    assert set(many.median) == {0.5}
    assert (set(many.low), set(many.high)) == ({0.0}, {1.0})
