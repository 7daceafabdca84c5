"""The benchmarks' own arithmetic, and that they run: no peer needed, and never a time asserted."""

from __future__ import annotations

import ast
import dataclasses
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

sys.path.append(str(Path(__file__).parents[1]))

from bench import ROOT, batches, critics, flops, machine, profile, tables, timing
from bench import kernels as kernels_bench
from bench.peers import cases, fisher, numpy_peer, ours, processes, report, small, torch_peer
from fasttrpo import kernels
from fasttrpo.backend import make_agent
from fasttrpo.settings.agent import AgentSettings

PEERS = ("torch", "jax", "sb3_contrib", "stable_baselines3", "tianshou", "mujoco", "numba")
FILES = sorted((ROOT / "bench").rglob("*.py"))
needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CC", "cc")) is None, reason="there is no C compiler"
)


@pytest.fixture(autouse=True)
def programs_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTTRPO_BENCH_CACHE", str(tmp_path / "cache"))


def module_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


# -- the modules ---------------------------------------------------------------------------------


def test_modules_import_without_any_peer():
    names = [module_of(p) for p in FILES if p.stem != "__init__"]
    names = [name for name in names if not name.startswith("bench.bench_")]
    assert "bench.peers.jax_peer" in names
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({PEERS}))\nimport importlib\n"
        f"for name in {names}: importlib.import_module(name)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": ROOT})


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_files_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    assert not [f.name for f in functions if f.end_lineno - f.lineno >= 40]


def test_the_installed_library_is_measured_and_not_the_sources_in_the_way():
    code = "import sys, bench; print(sys.path[-1], sys.path.count(sys.path[-1]))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(ROOT), "1"]


# -- operations ----------------------------------------------------------------------------------


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


# -- tables --------------------------------------------------------------------------------------


def test_numbers_with_units():
    assert tables.seconds(1.254e-3) == "1.25 ms"
    assert tables.seconds(3.5e-10) == "0.35 ns"
    assert tables.seconds(123.4e-6) == "123 us"
    assert tables.seconds(12) == "12.0 s"
    assert tables.spread(2e-3, 1.9e-3, 2.1e-3) == "2.00 ms ±5%"


def test_losses_are_told():
    assert tables.ratio(2) == "2.00x"
    assert tables.ratio(0.5) == "**0.50x (loss)**"
    assert tables.verdict(0.5, 0.75) == "**missed** (>= 0.75)"
    assert tables.verdict(3, 2) == "met (>= 2)"
    assert tables.verdict(3, None) == ""
    assert tables.limit(9, 8) == "**missed** (<= 8)"


def test_a_table():
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


def test_the_peer_s_best_thread_count_is_compared_with():
    better = a_result(threads=2, times=a_result()["times"] | {"jax": a_result()["times"]["jax"]})
    better["times"]["jax"] = better["times"]["jax"] | {"median": 0.4e-3}
    (row,) = [line for line in report.tables([a_result(), better]).splitlines() if "17-64" in line]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[:4] == ["17-64-64-6", "2,048", "jax", "2"]
    assert cells[-2:] == ["**0.40x (loss)**", "**missed** (>= 1.6)"]
    assert cells[-3] == "10%"  # 10 GFLOP/s of 100


def test_what_is_missing_is_noted_once():
    result = a_result(skipped="No module named 'jax': pip install '.[bench]'")
    del result["times"]
    text = report.tables([result, result])
    assert text.count("skipped: fisher-halfcheetah-2048-jax: No module named 'jax'") == 1
    assert "pip install '.[bench]'" in report.progress(result)


def a_time(median):
    return {"median": median, "low": 0.9 * median, "high": 1.1 * median, "rounds": 5}


def cells_of(text, start):
    """Of the rows whose first cell starts so."""
    rows = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]


def test_two_threads_beside_one():
    times = {"ours, 1 thread": a_time(1e-3), "ours, 2 threads": a_time(0.5e-3)}
    targets = {"share": 0.75, "ratio": 1.8}
    result = a_result(group="product", times=times, targets=targets, flops=8e7, threads=2)
    (row,) = cells_of(report.tables([result]), "17-64")
    assert row[3:5] == ["80%", "met (>= 0.75)"]
    assert row[6:] == ["80%", "2.00x", "met (>= 1.8)"]
    (alone,) = cells_of(report.tables([result | {"times": {"ours, 1 thread": a_time(1)}}]), "17-64")
    assert alone[4:] == ["**missed** (>= 0.75)", "", "", "", ""]


def test_updates_are_compared_by_time_and_by_worth():
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


# -- timing --------------------------------------------------------------------------------------


def test_contestants_take_turns_and_are_set_up_before_each_call():
    calls = []
    entries = {
        "a": timing.Contestant(lambda: calls.append("run a"), lambda: calls.append("set up a")),
        "b": timing.Contestant(lambda: calls.append("run b"), lambda: calls.append("set up b")),
    }
    times = timing.alternate(entries, seconds=0, min_rounds=3, between=lambda: calls.append("-"))
    assert calls[calls.index("-") :] == ["-", "set up a", "run a", "set up b", "run b"] * 3
    assert times["a"].rounds == 3
    assert 0 < times["a"].low <= times["a"].median <= times["a"].high


def test_a_median_and_its_quartiles():
    assert timing.summary([5.0, 1.0, 2.0, 4.0, 3.0]) == timing.Times(3.0, 2.0, 4.0, 5)


def test_a_rest_lasts_until_no_thread_uses_time(monkeypatch):
    pause, pauses = timing.PAUSE, []
    used = iter([0, pause, pause, 1.5 * pause, 1.5 * pause, 1.6 * pause])
    monkeypatch.setattr(timing.time, "process_time", lambda: next(used))
    monkeypatch.setattr(timing.time, "sleep", pauses.append)
    timing.rest()
    assert pauses == [pause] * 3


# -- what is measured ----------------------------------------------------------------------------


def test_every_case_can_be_called():
    every = cases.all_cases()
    assert len({case.name for case in every}) == len(every)
    assert {case.group for case in every} == set(report.GROUPS)
    for case in every:
        module, name = case.function.split(".")
        function = getattr(importlib.import_module(f"bench.peers.{module}"), name)
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        assert set(case.arguments) | {"threads", "counts", "seconds"} <= set(names)


def test_cases_are_chosen_by_the_beginning_of_their_names():
    assert [case.name for case in cases.chosen(["gae-2"])] == ["gae-2048x16", "gae-256x128"]
    assert cases.chosen([]) == cases.all_cases()
    with pytest.raises(ValueError, match="no case begins with 'nothing'"):
        cases.chosen(["gae", "nothing"])


@pytest.mark.parametrize("name", batches.SHAPES)
def test_the_numpy_peer_computes_our_product(name):
    shape = batches.SHAPES[name]
    batch = batches.drawn(shape, 50)
    fisher._check(shape, batch, {"numpy": numpy_peer.Product(shape, batch).product})
    with pytest.raises(AssertionError, match="Fisher product of wrong: error"):
        fisher._check(shape, batch, {"wrong": lambda v: v})


def test_torch_s_order_of_parameters_and_back():
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
    adv, _ = kernels.gae(*rollout, batches.GAMMA, batches.GAE_LAMBDA)
    assert ours.relative_error(adv.ravel(), expected) < 1e-5


def test_our_advantages_are_those_of_the_loop_in_numpy():
    rollout = small.rollout(40, 3)
    rew, val, boot, done, skip = rollout
    found = kernels.gae(rew, val, np.zeros_like(done), done, boot)
    for ours_, numpys in zip(found, small.numpy_gae(rew, val, boot, done, skip), strict=True):
        assert ours.relative_error(ours_, numpys) < 1e-6  # values are in float32 there


@needs_extension
def test_an_update_is_judged_and_profiled():
    batch = batches.recorded("small")
    update = ours.Update(ours.defaults(batch), batch)
    for _ in range(2):
        update.prepare()
        update.run()
        first = update.step
    assert np.array_equal(first, update.step)  # from the same start
    judge = ours.Judge(batch, np.random.default_rng(0).normal(size=batch.rew.shape))
    assert judge.gain(np.zeros_like(first)) == 0
    assert judge.gain(3 * first) == pytest.approx(judge.gain(first))
    assert 0 < judge.explained_variance(update.values) < 1


@needs_extension
def test_the_profile_s_rows_are_the_update_s():
    """What the critic is fitted to for a time is what it is fitted to in the update."""
    batch = batches.recorded("small")
    update = ours.Update(ours.defaults(batch), batch)
    fit = profile._fit(update, batch)
    fit.setup()
    loss = fit.run()
    update.run()
    assert loss == pytest.approx(update.record["value_loss"], rel=1e-4)


@needs_compiler
def test_each_kernel_is_timed_by_itself():
    """Every function of the kernels' tables, on every set; what is no work of its own is not."""
    found = kernels_bench.times(rounds=1)
    header = (machine.CSRC / "kernels" / "kernels.h").read_text()
    functions = set(re.findall(r"^    \w+ \(\*(\w+)\)\(", header, re.M))
    timed = {name.split("-")[-1] for name, _ in found}
    assert functions - timed == {"packed_size", "illegal", "constant_metric"}
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
def test_a_profile():
    found = profile.profile(batches.recorded("small"), threads=1, length=0)
    rows = profile.rows(found)
    assert [row[0] for row in rows[-2:]] == ["the rest", "whole update"]
    assert all(len(row) == len(profile.HEADER) for row in rows)
    assert set(found.times) == {stage.name for stage in found.stages} | {profile.WHOLE}


# -- processes and programs ----------------------------------------------------------------------


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
def test_a_case_in_a_process_of_its_own():
    (result,) = processes.run(cases.chosen(["gae-256x128"]), counts=[1], seconds=0)
    assert set(result["times"]) == {"ours", "numpy"}
    assert "gae-256x128" in report.tables([result])


@needs_compiler
def test_the_peak_program():
    for threads in (1, 2):
        peaks = machine.peak(0.01, threads)
        assert {"baseline", "neon"} & set(peaks)
        assert all(0.01 < rate < 1e5 for rate in peaks.values())
    assert machine.Peak().gflops > 0


@needs_compiler
def test_the_program_that_predicts():
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
    """Every contestant runs and has a row; no time is asserted."""
    pytest.importorskip("mujoco.batch", reason="no MuJoCo with mujoco.batch")
    from bench import mujoco_envs

    arguments = ["Reacher-v5", "--num-envs", "2", "--threads", "1", "--seconds", "0"]
    assert mujoco_envs.main(arguments) == 0
    said = capsys.readouterr().out
    for row in ("Gymnasium sync", "bare physics", "batch physics", "actions given", "64-64 policy"):
        assert row in said


@needs_extension
def test_critics_are_compared_on_rollouts_that_they_have_not_seen(capsys):
    arguments = ["CartPole-v1", "--rollouts", "3", "--n-steps", "20", "--n-envs", "2"]
    assert critics.main([*arguments, "--seconds", "0"]) == 0
    said = capsys.readouterr().out
    assert all(f"| {name} " in said for name in critics.CRITICS)
    assert critics.main(["Nothing-v0", *arguments[1:]]) == 1
    assert "Nothing-v0: skipped" in capsys.readouterr().out


@needs_extension
def test_a_critic_s_course_is_its_own_and_its_target_everybody_s():
    """By hand: the values before each update, of sums and of what the update calls returns."""
    settings, rollouts = critics.record("Pendulum-v1", 3, 250, 1)
    episode, beyond = rollouts[0].rew[:200, 0], rollouts[0].rew[200:, 0]
    assert rollouts[0].trunc[199, 0]
    assert not rollouts[0].term.any()
    steps = 0.99 ** np.arange(250)
    first_values = make_agent(settings)  # the recording agent's start: the default seed
    after = first_values.value(rollouts[0].next_obs[[199, 249], 0]).astype(float)
    assert rollouts[0].sums[0, 0] == pytest.approx(steps[:200] @ episode + 0.99**200 * after[0])
    assert rollouts[0].sums[200, 0] == pytest.approx(steps[:50] @ beyond + 0.99**50 * after[1])
    own = dataclasses.replace(settings, critic="ridge", gae_lambda=0.5)
    course, agent = critics.replay(own, rollouts), make_agent(own)
    for i, rollout in enumerate(rollouts):
        values = agent.value(rollout.obs[:, 0])[:, None]
        if i:
            left = rollout.sums - values
            assert course.of_sums[i - 1] == pytest.approx(1 - left.var() / rollout.sums.var())
        critics._record(agent, rollout)
        last, record = agent.value_theta, agent.update()
        if i:
            assert course.of_returns[i - 1] == pytest.approx(record["explained_variance"])
    assert course.agent.value_theta.tobytes() == last.tobytes()


@needs_extension
def test_a_critic_with_another_loss_is_not_timed(monkeypatch):
    settings, rollouts = critics.record("CartPole-v1", 3, 20, 2)
    monkeypatch.setattr(critics, "SAME_LOSS", -1.0)
    with pytest.raises(AssertionError, match="the loss of kfac, 1 epoch"):
        critics.compare(settings, rollouts, 0)


def test_passes_of_critics_that_are_counted_by_hand():
    settings = AgentSettings(
        obs_size=4, distribution="gaussian", parts=(1,), n_steps=100, value_hidden=(8,)
    )
    weights, inner = 4 * 8 + 8 * 1, 8 * 1
    gradient = 1 + inner / weights
    adam = dataclasses.replace(settings, critic="adam", n_critic_updates=3)
    assert critics.passes(adam) == pytest.approx(3 * (1 + gradient) + 1)
    found = [
        critics.passes(dataclasses.replace(settings, critic=c, n_critic_updates=2))
        for c in ("gauss_newton", "kfac")
    ]
    assert found[0] > 2 * (gradient + 5 * 2 * gradient + 1)
    assert found[1] > 2 * (1 + 2 * gradient) + 1
    assert critics.passes(dataclasses.replace(settings, critic="ridge")) < found[1]


def test_a_difference_from_gymnasium_is_not_timed(capsys, monkeypatch):
    from bench import mujoco_envs

    monkeypatch.setattr(mujoco_envs, "quiet", lambda: None)
    monkeypatch.setattr(mujoco_envs, "check", lambda env_id: float("nan"))
    assert mujoco_envs.main(["Reacher-v5"]) == 1
    assert "not timed" in capsys.readouterr().out
