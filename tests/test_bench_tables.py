"""The benchmarks' operation counts and tables."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))

from bench import batches, flops, profile, tables
from bench.peers import report

# -- operations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("O", "H", "A"), [(17, 64, 6), (4, 64, 2), (348, 256, 17)])
def test_operations_of_two_hidden_layers(O, H, A):  # noqa: E741
    sizes = (O, H, H, A)
    assert flops.fisher_product(sizes) == 4 * O * H + 8 * H * H + 8 * H * A
    assert flops.forward(sizes) == 2 * (O * H + H * H + H * A)
    assert flops.gradient(sizes) == 2 * O * H + 4 * H * H + 4 * H * A


def test_operations_of_a_linear_network():
    assert flops.fisher_product((5, 3)) == 4 * 5 * 3
    assert flops.factor_sums((5, 3), exact_head=True) == 2 * 6 * 6
    assert flops.factor_inverses((5, 3), exact_head=True) == 3 * 6**3 // 3
    assert flops.precondition((5, 3), exact_head=True) == 2 * 3 * 6**2


def test_operations_of_the_factors():
    sizes = (5, 4, 3)
    sums = 2 * (6 * 6 + 5 * 5) + 2 * 4 * 4  # [h 1]'[h 1] twice, dz'dz of the hidden layer
    back = 2 * 4 * 3  # dz W' into it; no dW is formed
    assert flops.factor_sums(sizes, exact_head=True) == sums + back
    assert flops.factor_sums(sizes, exact_head=False) == sums + back + 2 * 3 * 3
    assert flops.precondition(sizes, exact_head=False) == 2 * 6 * 4 * 10 + 2 * 5 * 3 * 8
    assert flops.kfac_rows(1000, sizes, True) == 256
    assert flops.kfac_rows(10_000, sizes, True) == 1000
    assert flops.kfac_rows(10_000, (5, 3), True) == 10_000


def test_operations_of_an_update_are_those_of_its_stages():
    settings = batches.SHAPES["halfcheetah"].settings(2048)
    record = {"n_samples": 2048, "cg_steps": 4, "line_search_steps": 2}
    stages = profile.stages(settings, record)
    assert sum(stage.calls * stage.flops for stage in stages) == flops.update(settings, record)


# -- tables ----------------------------------------------------------------------------------------


def test_numbers_with_units():
    assert tables.seconds(1.254e-3) == "1.25 ms"
    assert tables.seconds(3.5e-10) == "0.35 ns"
    assert tables.seconds(123.4e-6) == "123 us"
    assert tables.seconds(12) == "12.0 s"
    assert tables.spread(2e-3, 1.9e-3, 2.1e-3) == "2.00 ms ±5%"


def test_losses_and_missed_targets_are_marked():
    assert tables.ratio(2) == "2.00x"
    assert tables.ratio(0.5) == "**0.50x (loss)**"
    assert tables.verdict(0.5, 0.75) == "**missed** (>= 0.75)"
    assert tables.verdict(3, 2) == "met (>= 2)"
    assert tables.verdict(3, None) == ""
    assert tables.limit(9, 8) == "**missed** (<= 8)"


def test_tables_align_their_columns():
    lines = tables.table(["a", "name"], [[1, "x"], [None, "long one"]]).splitlines()
    assert lines == ["| a | name     |", "| - | -------- |", "| 1 | x        |", "|   | long one |"]


def a_result(**more):
    quarter = {"low": 0.9e-3, "high": 1.1e-3, "rounds": 5}
    times = {"ours, 1 thread": {"median": 1e-3} | quarter, "jax": {"median": 0.5e-3} | quarter}
    arguments = {"shape": "halfcheetah", "n": 2048, "peer": "jax"}
    return {
        "case": "fisher-halfcheetah-2048-jax",
        "group": "fisher",
        "threads": 1,
        "arguments": arguments,
        "targets": {"ratio": 1.6},
        "times": times,
        "ours": "ours, 1 thread",
        "flops": 1e7,
        "peak": {"baseline": 20.0, "avx2": 100.0},
    } | more


def test_we_are_compared_with_the_best_thread_count_of_the_peer():
    better = a_result(threads=2, times=a_result()["times"] | {"jax": a_result()["times"]["jax"]})
    better["times"]["jax"] = better["times"]["jax"] | {"median": 0.4e-3}
    (row,) = [line for line in report.tables([a_result(), better]).splitlines() if "17-64" in line]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[:4] == ["17-64-64-6", "2,048", "jax", "2"]
    assert cells[-2:] == ["**0.40x (loss)**", "**missed** (>= 1.6)"]
    assert cells[-3] == "10%"  # 10 GFLOP/s of 100


def test_a_skipped_case_is_noted_once():
    result = a_result(skipped="No module named 'jax': pip install '.[bench]'")
    del result["times"]
    text = report.tables([result, result])
    assert text.count("skipped: fisher-halfcheetah-2048-jax: No module named 'jax'") == 1
    assert "pip install '.[bench]'" in report.progress(result)


def a_time(median):
    return {"median": median, "low": 0.9 * median, "high": 1.1 * median, "rounds": 5}


def cells_of(text, start):
    """Cells of the rows whose first cell starts with `start`."""
    rows = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]


def test_two_threads_are_compared_with_one():
    times = {"ours, 1 thread": a_time(1e-3), "ours, 2 threads": a_time(0.5e-3)}
    targets = {"share": 0.75, "ratio": 1.8}
    result = a_result(group="product", times=times, targets=targets, flops=8e7, threads=2)
    (row,) = cells_of(report.tables([result]), "17-64")
    assert row[3:5] == ["80%", "met (>= 0.75)"]
    assert row[6:] == ["80%", "2.00x", "met (>= 1.8)"]
    (alone,) = cells_of(report.tables([result | {"times": {"ours, 1 thread": a_time(1)}}]), "17-64")
    assert alone[4:] == ["**missed** (>= 0.75)", "", "", "", ""]


def test_updates_are_compared_by_time_and_by_quality():
    names = ("sb3-contrib", report.LIKE, "ours, 1 thread", "ours, 2 threads")
    worth = [(0.4, 0.8), (0.4, 0.8), (0.5, 0.7), (0.5, 0.7)]
    result = a_result(
        group="update",
        arguments={"peer": "sb3-contrib", "name": "small"},
        targets={"1": 25, "2": 40},
        times={name: a_time(t) for name, t in zip(names, (1, 0.1, 0.04, 0.02), strict=True)},
        quality={
            name: {"gain": gain, "explained variance": ev}
            for name, (gain, ev) in zip(names, worth, strict=True)
        },
        n=2048,
    )
    rows = cells_of(report.tables([result]), "small")
    assert [row[2] for row in rows] == ["sb3-contrib, 1 thread", *names[1:]]
    assert [row[4:6] for row in rows[2:]] == [["25.0x", "met (>= 25)"], ["50.0x", "met (>= 40)"]]
    assert rows[3][-2:] == ["0.500", "**0.700 (worse)**"]
