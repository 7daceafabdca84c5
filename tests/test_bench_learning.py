"""`bench.learning`: its arithmetic, and that it runs. Needs no peer and asserts no times."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from agents import needs_extension

sys.path.append(str(Path(__file__).parents[1]))

from bench import ROOT
from bench.learning import child, processes, report, tasks
from bench.learning.__main__ import main

needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CC", "cc")) is None, reason="there is no C compiler"
)


def cells_of(text, start):
    """Cells of the rows whose first cell starts with `start`."""
    rows = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]


def a_run(who, seconds, steps=1000, target=475):
    """A run that reached its target after `seconds`, or never (None)."""
    reached = [{"target": target, "seconds": seconds, "steps": steps, "mean": target + 1}]
    run = {"env_id": "CartPole-v1", "who": who, "seed": 0, "reached": reached if seconds else []}
    return run | {"stopped": 60.0, "outside": 0.1, "evaluating": 1.0}


def row_of(runs):
    """The cells of the CartPole row, from "ours" on."""
    (task,), _ = tasks.chosen(["CartPole-v1"])
    text = report.tables(report.learning(task, runs, 60), runs)
    ((_, *cells),) = cells_of(text, "CartPole-v1 475")
    return cells


def test_runs_are_reported_by_median_and_spread():
    mine = [a_run("ours", seconds) for seconds in (0.5, 0.4, 0.9)]
    theirs = [a_run("sb3-contrib", seconds) for seconds in (5, 8, 20)]
    cells = row_of(mine + theirs)
    assert cells[:4] == ["0.50 s (0.40 to 0.90)", "1,000", "8.00 s (5.00 to 20.0)", "1,000"]
    assert cells[4:] == ["16.0x", "met (<= 0.6 s), met (>= 15x)"]
    assert row_of(mine)[2:] == ["", "", "", "met (<= 0.6 s)"]


def test_runs_out_of_time_count_as_longer_than_the_limit():
    mine = [a_run("ours", seconds) for seconds in (0.5, 1.0, None)]
    theirs = [a_run("sb3-contrib", seconds) for seconds in (5, None, None)]
    cells = row_of(mine + theirs)
    assert cells[0] == "1.00 s (0.50 to > 60), 2 of 3"
    assert cells[2:4] == ["> 60 s (5.00 to > 60), 1 of 3", ""]
    assert cells[4:] == ["> 60.0x", "**missed** (<= 0.6 s), met (>= 15x)"]
    lost = row_of([a_run("ours", None), a_run("sb3-contrib", 5)])
    assert lost[:2] == ["> 60 s, 0 of 1", ""]
    assert lost[4:] == ["", "**missed** (<= 0.6 s)"]


def test_a_faster_peer_is_reported_as_a_loss():
    cells = row_of([a_run("ours", 10), a_run("sb3-contrib", 5)])
    assert cells[4:] == ["**0.50x (loss)**", "**missed** (<= 0.6 s), **missed** (>= 15x)"]


def test_targets_in_steps_are_checked():
    (task,), _ = tasks.chosen(["Pendulum-v1"])
    run = a_run("ours", 1.5, steps=400_000, target=-160) | {"env_id": "Pendulum-v1"}
    first, second = report.learning(task, [run], 60)
    assert first[1] == "> 60 s, 0 of 1"
    assert second[-1] == "met (<= 2 s), **missed** (<= 300,000 steps)"


def test_throughput_is_reported_as_a_share_of_bare_physics():
    times = {who: {"median": t} for who, t in (("bare mj_step loops", 0.1), ("ours", 0.2))}
    found = {"rows": 2048, "times": times}
    row = report.throughput(tasks.THROUGHPUT, found)
    assert row[1] == "10,240 steps/s, 50% of bare mj_step loops"
    assert row[3:] == ["", "", "", "**missed** (>= 70%)"]
    times["sb3-contrib"] = {"median": 2.0}
    row = report.throughput(tasks.THROUGHPUT, found)
    assert row[3:] == ["1,024 steps/s", "", "10.0x", "**missed** (>= 70%), met (>= 8x)"]


class Acting:
    """A model whose actions are a function of the observations."""

    def __init__(self, act):
        self._act = act

    def predict(self, obs, deterministic):
        assert deterministic
        return self._act(obs), None


def clumsy(obs):
    return np.zeros(len(obs), dtype=np.int64)


def balancing(obs):
    return (obs @ [0.1, 0.5, 3.0, 1.0] > 0).astype(np.int64)


@needs_extension
def test_evaluations_are_off_the_clock_and_end_at_the_last_target(monkeypatch):
    monkeypatch.setattr(child, "EPISODES", (2, 5))
    judge = child.Judge("CartPole-v1", [20, 400], budget=1e6)
    assert judge.should_continue(Acting(clumsy), 10)
    assert judge.reached == []
    before = judge.clock
    assert not judge.should_continue(Acting(balancing), 20)
    assert [(each["target"], each["steps"]) for each in judge.reached] == [(20, 20), (400, 20)]
    assert all(before <= each["seconds"] <= judge.clock for each in judge.reached)
    assert all(each["mean"] >= each["target"] for each in judge.reached)
    assert judge.evaluating > 0


@needs_extension
def test_a_target_counts_only_if_every_evaluation_reaches_it(monkeypatch):
    judge = child.Judge("CartPole-v1", [100], budget=1e6)
    means = iter([(120, 0), (110, 0), (99, 0)])
    monkeypatch.setattr("fasttrpo.evaluate_policy", lambda *given, seed: next(means))
    assert judge.should_continue(None, 1)
    assert not judge.reached
    assert next(means, None) is None


@needs_extension
def test_a_run_ends_when_its_budget_is_spent():
    judge = child.Judge("CartPole-v1", [500], budget=0.0)
    assert not judge.should_continue(Acting(clumsy), 1)
    assert not judge.reached


def test_interpreter_start_and_exit_are_counted():
    found = {"reached": [{"seconds": 1.0}, {"seconds": 2.0}], "lived": 2.5}
    found = processes.with_all(found, 2.75)
    assert [each["seconds"] for each in found["reached"]] == [1.25, 2.25]


@needs_extension
@needs_compiler
def test_complete_runs(capsys, monkeypatch, tmp_path):
    """In their own processes."""
    monkeypatch.setenv("FASTTRPO_BENCH_CACHE", str(tmp_path))
    assert main(["CartPole-v1", "--seeds", "1", "--alone"]) == 0
    captured = capsys.readouterr()
    assert "| CartPole-v1 475 | " in captured.out
    assert "start and end" in captured.err
    with pytest.raises(SystemExit):
        main(["CartPole-v2"])


@needs_extension
def test_complete_iterations_of_mujoco_tasks():
    pytest.importorskip("mujoco.batch", reason="no MuJoCo with mujoco.batch")
    task = tasks.Throughput("Reacher-v5", n_envs=2, rows=20, share=0.7, ratio=8)
    found = processes.throughput(task, threads=1, seconds=0, with_peer=False)
    assert set(found["times"]) == {"ours", "bare mj_step loops"}
    assert "of bare mj_step loops" in report.throughput(task, found)[1]


def test_runs_of_a_missing_peer_are_skipped(tmp_path):
    (tmp_path / "sb3_contrib.py").write_text("raise ImportError('No module named sb3_contrib')")
    task = tasks.TASKS[0]
    request = {"function": "sb3-contrib", "arguments": {"env_id": task.env_id, "seed": 0}}
    request["arguments"] |= {"targets": [1], "budget": 1, "limit": 1, "settings": {}}
    result = tmp_path / "result.json"
    command = [sys.executable, "-m", "bench.learning.child", json.dumps(request), str(result)]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path)}, check=True)
    run = json.loads(result.read_text()) | {"env_id": task.env_id, "who": "sb3-contrib", "seed": 0}
    assert "No module named" in run["skipped"]
    assert "skipped" in report.progress(run)
    text = report.tables(report.learning(task, [run], 60), [run])
    assert "- skipped: CartPole-v1: No module named" in text
