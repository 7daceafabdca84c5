"""The benchmarks' arithmetic, and that they run. Needs no peer and asserts no times."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from agents import needs_extension
from c_objects import compile_core, compile_pool
from tables import table

sys.path.append(str(Path(__file__).parents[1]))

from bench import ROOT, batches, machine, profile, timing
from bench import kernels as kernels_bench
from bench.peers import cases, fisher, numpy_peer, ours, processes, report, small, torch_peer
from fasttrpo import theory

PEERS = ("torch", "jax", "sb3_contrib", "stable_baselines3", "tianshou", "mujoco", "numba")
FILES = sorted((ROOT / "bench").rglob("*.py"))
needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CC", "cc")) is None, reason="there is no C compiler"
)


@pytest.fixture(autouse=True)
def own_program_cache(tmp_path_factory, monkeypatch):
    """One for all tests, so each program is compiled once."""
    cache = tmp_path_factory.getbasetemp() / "bench_cache"
    monkeypatch.setenv("FASTTRPO_BENCH_CACHE", str(cache))


@pytest.fixture
def compiled_core(tmp_path_factory, monkeypatch):
    """Link programs with the objects of test_c.py instead of compiling all of csrc for each."""
    objects = compile_core("float32", tmp_path_factory) + compile_pool(tmp_path_factory)
    assert {path.stem for path in machine.core()} == {path.stem for path in objects}
    monkeypatch.setattr(machine, "core", lambda: objects)


def module_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


# -- the modules -----------------------------------------------------------------------------------


def test_modules_import_without_any_peer():
    names = [module_of(p) for p in FILES if p.stem != "__init__"]
    names = [name for name in names if not name.startswith("bench.bench_")]
    assert "bench.peers.jax_peer" in names
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({PEERS}))\nimport importlib\n"
        f"for name in {names}: importlib.import_module(name)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": ROOT})


def test_files_and_functions_are_short():
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, path
        tree = ast.parse(text)
        assert ast.get_docstring(tree), path
        functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
        assert not [f.name for f in functions if f.end_lineno - f.lineno >= 40], path


def test_bench_adds_the_source_tree_last_to_the_path():
    code = "import sys, bench; print(sys.path[-1], sys.path.count(sys.path[-1]))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(ROOT), "1"]


# -- timing ----------------------------------------------------------------------------------------


def test_contestants_alternate_and_are_set_up_before_each_call():
    calls = []
    entries = {
        "a": timing.Contestant(lambda: calls.append("run a"), lambda: calls.append("set up a")),
        "b": timing.Contestant(lambda: calls.append("run b"), lambda: calls.append("set up b")),
    }
    times = timing.alternate(entries, seconds=0, min_rounds=3, between=lambda: calls.append("-"))
    assert calls[calls.index("-") :] == ["-", "set up a", "run a", "set up b", "run b"] * 3
    assert times["a"].rounds == 3
    assert 0 < times["a"].low <= times["a"].median <= times["a"].high


def test_summary_is_the_median_and_quartiles():
    assert timing.summary([5.0, 1.0, 2.0, 4.0, 3.0]) == timing.Times(3.0, 2.0, 4.0, 5)


def test_rest_waits_until_no_thread_uses_cpu_time(monkeypatch):
    pause, pauses = timing.PAUSE, []
    used = iter([0, pause, pause, 1.5 * pause, 1.5 * pause, 1.6 * pause])
    monkeypatch.setattr(timing.time, "process_time", lambda: next(used))
    monkeypatch.setattr(timing.time, "sleep", pauses.append)
    timing.wait_for_idle_threads()
    assert pauses == [pause] * 3


# -- measurements ---------------------------------------------------------------------------------


def test_every_case_can_be_called():
    every = cases.all_cases()
    assert len({case.name for case in every}) == len(every)
    assert {case.group for case in every} == set(report.GROUPS)
    for case in every:
        module, name = case.function.split(".")
        function = getattr(importlib.import_module(f"bench.peers.{module}"), name)
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        assert set(case.arguments) | {"threads", "counts", "seconds"} <= set(names)


def test_cases_are_chosen_by_prefix():
    assert [case.name for case in cases.chosen(["gae-2"])] == ["gae-2048x16", "gae-256x128"]
    assert cases.chosen([]) == cases.all_cases()
    with pytest.raises(ValueError, match="'nothing'"):
        cases.chosen(["gae", "nothing"])


@table("name", batches.SHAPES)
def test_the_numpy_peer_computes_our_product(name):
    shape = batches.SHAPES[name]
    batch = batches.random_batch(shape, 50)
    fisher.check(shape, batch, {"numpy": numpy_peer.Product(shape, batch).product})
    with pytest.raises(AssertionError, match="Fisher product of wrong: error"):
        fisher.check(shape, batch, {"wrong": lambda v: v})


def test_conversion_to_the_order_of_torch_parameters_round_trips():
    sizes, theta = (3, 4, 2), np.arange(4 * 4 + 5 * 2 + 2.0)
    order = torch_peer.to_torch(theta, sizes)
    assert list(order[:3]) == [26, 27, 0]  # log_std first, then the first output's weights
    assert list(order[3:5]) == [4, 8]
    assert np.array_equal(torch_peer.from_torch(order, sizes), theta)


def test_the_recorded_batch_has_its_recorded_advantages():
    batch = batches.recorded("small")
    with np.load(ROOT / "tests" / "data" / "halfcheetah.npz") as file:
        expected, values = file["advantages"], file["values"].reshape(batch.rew.shape)
    after = np.concatenate([values[1:], values[-1:]])
    rollout = (batch.rew, values, batch.term, batch.trunc, after)
    adv, _ = theory.gae(*rollout, batches.GAMMA, batches.GAE_LAMBDA)
    assert ours.relative_error(adv.ravel(), expected) < 1e-5


def test_our_advantages_equal_the_numpy_loop():
    rollout = small.rollout(40, 3)
    rew, val, boot, done, skip = rollout
    found = theory.gae(rew, val, np.zeros_like(done), done, boot)
    for ours_, numpys in zip(found, small.numpy_gae(rew, val, boot, done, skip), strict=True):
        assert ours.relative_error(ours_, numpys) < 1e-6  # the loop's values are float32


@needs_extension
def test_an_update_repeats_and_is_judged():
    batch = batches.recorded("small")
    update = ours.Update(ours.defaults(batch), batch)
    for _ in range(2):
        update.prepare()
        update.run()
        first = update.step
    assert np.array_equal(first, update.step)  # from the same parameters
    judge = ours.Judge(batch, np.random.default_rng(0).normal(size=batch.rew.shape))
    assert judge.gain(np.zeros_like(first)) == 0
    assert judge.gain(3 * first) == pytest.approx(judge.gain(first))
    assert 0 < judge.explained_variance(update.values) < 1


@needs_extension
def test_the_profile_fits_the_critic_on_the_data_of_the_update():
    """Both report the same loss."""
    batch = batches.recorded("small")
    update = ours.Update(ours.defaults(batch), batch)
    fit = profile.fit(update, batch)
    fit.setup()
    loss = fit.run()
    update.run()
    assert loss == pytest.approx(update.record["value_loss"], rel=1e-4)


@needs_compiler
def test_each_kernel_is_timed_on_each_instruction_set(compiled_core):
    """Every function of the kernels' tables, except queries."""
    found = kernels_bench.times(rounds=1)
    header = (machine.CSRC / "kernels" / "kernels.h").read_text()
    functions = set(re.findall(r"^    \w+ \(\*(\w+)\)\(", header, re.M))
    timed = {name.split("-")[-1] for name, _ in found}
    assert functions - timed == {"packed_size", "illegal", "constant_metric", "n_choices"}
    assert timed <= functions
    assert {name.split("-")[0] for name, _ in found if "-" in name} == {"gaussian", "categorical"}
    peaks = dict.fromkeys(next(iter(found.values())), 100.0)
    assert "baseline" in peaks
    assert all(
        time.low <= time.median <= time.high for of in found.values() for time in of.values()
    )
    lines = kernels_bench.show(found, peaks).splitlines()
    assert len(lines) == 2 + len(found)


@needs_extension
@needs_compiler
def test_a_profile_has_a_row_for_each_stage():
    found = profile.profile(batches.recorded("small"), threads=1, length=0)
    rows = profile.rows(found)
    assert [row[0] for row in rows[-2:]] == ["the rest", "whole update"]
    assert all(len(row) == len(profile.HEADER) for row in rows)
    assert set(found.times) == {stage.name for stage in found.stages} | {profile.WHOLE}


# -- processes and programs ------------------------------------------------------------------------


def test_a_missing_peer_is_skipped_by_name(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('No module named torch')")
    arguments = {"peer": "sb3-contrib", "name": "small"}
    request = {"function": "update.compare", "arguments": arguments}
    request |= {"threads": 1, "counts": [1], "seconds": 0}
    result = tmp_path / "result.json"
    command = [sys.executable, "-m", "bench.peers.child", json.dumps(request), str(result)]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path)}, check=True)
    skipped = json.loads(result.read_text())["skipped"]
    assert skipped == "No module named torch: pip install '.[bench]'"


@needs_extension
@needs_compiler
def test_a_case_runs_in_its_own_process():
    (result,) = processes.run(cases.chosen(["gae-256x128"]), counts=[1], seconds=0)
    assert set(result["times"]) == {"ours", "numpy"}
    assert "gae-256x128" in report.tables([result])


@needs_compiler
def test_the_peak_program_measures_a_rate():
    for threads in (1, 2):
        peaks = machine.peak(0.01, threads)
        assert {"baseline", "neon"} & set(peaks)
        assert all(0.01 < rate < 1e5 for rate in peaks.values())
    assert machine.Peak().gflops > 0


@needs_compiler
def test_the_predict_program_runs(compiled_core):
    times = small.predict_c(threads=1, counts=[1], seconds=0)["times"]
    assert set(times) == {"17-64-64-6", "4-64-64-2"}
    assert all(t.low <= t.median <= t.high for t in times.values())


@needs_compiler
def test_the_machine_is_described():
    about = machine.describe()
    assert about["cores"] >= 1
    assert set(about["instruction sets"]) & {"baseline", "neon"}
    assert set(about["packages"]) == set(machine.PACKAGES)
    json.dumps(about)


@needs_extension
def test_mujoco_environments_are_compared_and_measured(capsys):
    """Every contestant runs and has a row."""
    pytest.importorskip("mujoco.batch", reason="no MuJoCo with mujoco.batch")
    from bench import mujoco_envs

    arguments = ["Reacher-v5", "--num-envs", "2", "--threads", "1", "--seconds", "0"]
    assert mujoco_envs.main(arguments) == 0
    output = capsys.readouterr().out
    for row in ("Gymnasium sync", "bare physics", "batch physics", "actions given", "64-64 policy"):
        assert row in output


def test_an_environment_that_differs_from_gymnasium_is_not_timed(capsys, monkeypatch):
    from bench import mujoco_envs

    monkeypatch.setattr(mujoco_envs, "quiet", lambda: None)
    monkeypatch.setattr(mujoco_envs, "check", lambda env_id: float("nan"))
    assert mujoco_envs.main(["Reacher-v5"]) == 1
    assert "not timed" in capsys.readouterr().out
