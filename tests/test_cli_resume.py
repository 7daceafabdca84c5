"""`fasttrpo train --resume`: killed, interrupted and failed runs end bit-identical to undisturbed
ones.
"""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from agents import needs_extension
from gymnasium.envs.classic_control import CartPoleEnv
from helpers import disk_of, same_state
from tables import table

import fasttrpo
from fasttrpo import TRPO, cli
from fasttrpo.cli import eval as evaluation
from fasttrpo.cli import training
from fasttrpo.envs.classic import has_extension
from fasttrpo.training.trainer import Trainer

SIZES = ["--n-envs", "3", "--n-steps", "40", "--no-progress", "--checkpoint-every", "0"]
ITERATION = 120
FILES = {"config.json", "progress.csv", "model.npz", "checkpoint.npz", "evaluation.json"}

in_c = pytest.mark.skipif(
    not has_extension(), reason="this installation has no compiled environments"
)


@pytest.fixture(autouse=True)
def few_episodes(monkeypatch):
    monkeypatch.setattr(evaluation, "EVAL_EPISODES", 3)


def train(*options, iterations=6):
    total = ["--total-timesteps", str(iterations * ITERATION)]
    return cli.main(["train", *options, *SIZES, *total])


def resume(*options):
    return cli.main(["train", "--resume", "run", "--no-progress", *options])


def curve(folder):
    """All rows of progress.csv without the columns that depend on the clock."""
    with open(Path(folder) / "progress.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    is_time = ("seconds", "steps_per_second")
    return [{k: v for k, v in row.items() if not k.startswith(is_time)} for row in rows]


def same_run(one, other):
    """Whether everything saved, the curve and the evaluation are bit-identical."""
    models = [[TRPO.load(Path(f) / n) for f in (one, other)] for n in ("model", "checkpoint")]
    evaluations = [(Path(f) / "evaluation.json").read_text() for f in (one, other)]
    same = all(same_state(*pair) for pair in models) and evaluations[0] == evaluations[1]
    assert [row["iteration"] for row in curve(one)] == [row["iteration"] for row in curve(other)]
    return same and curve(one) == curve(other)


def raising(error):
    def fail(*given):
        raise error

    return fail


def interrupt_after(monkeypatch, iterations, error=KeyboardInterrupt):
    """Raise `error` during the rollout that follows `iterations` iterations."""
    collect = Trainer.collect

    def collected(trainer, callback):
        result = collect(trainer, callback)
        if trainer.n_updates == iterations:
            raise error
        return result

    monkeypatch.setattr(Trainer, "collect", collected)


# -- stopped cleanly -------------------------------------------------------------------------------


@in_c
@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("every", ["0", "1000"])
def test_a_run_stopped_by_ctrl_c_resumes_bit_for_bit(name, every, monkeypatch, capsys):
    options = (name, "--set", "normalize_rewards=True")
    train(*options, "--out", "whole")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        assert train(*options, "--out", "run", "--checkpoint-every", every) == 130
    assert f"interrupted at step {3 * ITERATION}; saved in run; resume with: " in (
        capsys.readouterr().out
    )
    assert TRPO.load("run/model.npz").num_timesteps == 3 * ITERATION
    assert resume() == 0
    assert f"run: resuming at step {3 * ITERATION} of {6 * ITERATION}\n" in capsys.readouterr().out
    assert same_run("whole", "run")
    assert {p.name for p in Path("run").iterdir()} == FILES


@in_c
def test_a_resumed_schedule_continues(monkeypatch):
    options = ("CartPole-v1", "--target-kl", "linear_0.02")
    train(*options, "--out", "whole")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        train(*options, "--out", "run")
    assert resume() == 0
    assert same_run("whole", "run")
    train("CartPole-v1", "--target-kl", "0.02", "--out", "constant")
    assert not same_run("whole", "constant")


@in_c
def test_a_run_stopped_before_its_first_iteration_resumes(monkeypatch):
    train("CartPole-v1", "--out", "whole")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 0)
        assert train("CartPole-v1", "--out", "run") == 130
        assert resume() == 130
    assert resume() == 0
    assert same_run("whole", "run")


@in_c
@pytest.mark.parametrize("where", ["environment", "callback"])
def test_a_run_that_failed_resumes_bit_for_bit(where, monkeypatch):
    train("CartPole-v1", "--out", "whole")
    with monkeypatch.context() as patch:
        if where == "environment":
            interrupt_after(patch, 2, OSError("the wheel came off"))
        else:
            error = OSError("the wheel came off")
            patch.setattr(training.Checkpoints, "write", raising(error))
        with pytest.raises(OSError, match="the wheel came off"):
            train("CartPole-v1", "--out", "run")
    assert resume() == 0
    assert same_run("whole", "run")


@in_c
def test_a_finished_run_can_be_extended(capsys):
    train("CartPole-v1", "--out", "whole", iterations=6)
    train("CartPole-v1", "--out", "run", iterations=4)
    assert resume() == 0
    out = capsys.readouterr().out
    assert f"run is finished at {4 * ITERATION} steps; extend it with" in out
    assert resume("--total-timesteps", str(6 * ITERATION)) == 0
    assert same_run("whole", "run")
    assert json.loads(Path("run/config.json").read_text())["total_timesteps"] == 6 * ITERATION
    assert resume() == 0
    assert "run is finished" in capsys.readouterr().out


@in_c
def test_a_run_stopped_in_its_evaluation_resumes(monkeypatch):
    train("CartPole-v1", "--out", "whole")
    with monkeypatch.context() as patch:
        patch.setattr(
            evaluation, "evaluate", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        assert train("CartPole-v1", "--out", "run") == 130
    assert resume() == 0
    assert same_run("whole", "run")


def test_gymnasium_environments_start_new_episodes_with_a_note(monkeypatch, capsys):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        assert train("CartPole-v1", "--out", "run", "--env-backend", "gymnasium") == 130
    shutil.copytree("run", "resumed")
    assert resume() == 0
    assert "these environments cannot be saved, so they start new ep" in capsys.readouterr().out
    assert len(curve("run")) == 6
    assert cli.main(["train", "--resume", "resumed", "--no-progress"]) == 0
    assert same_run("run", "resumed")


@in_c
def test_threads_and_verbosity_may_change_on_resume(monkeypatch):
    train("CartPole-v1", "--out", "whole")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        train("CartPole-v1", "--out", "run")
    assert resume("CartPole-v1", "--n-threads", "2", "--verbose", "--seed", "0") == 0
    assert same_run("whole", "run")


@in_c
def test_resumed_logs_are_continued(monkeypatch):
    """Without naming them again."""
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        train("CartPole-v1", "--out", "run", "--log-formats", "json,log")
    assert resume() == 0
    steps = [ITERATION * i for i in range(1, 7)]
    lines = Path("run/progress.json").read_text().splitlines()
    assert [json.loads(line)["time/total_timesteps"] for line in lines] == steps
    assert Path("run/log.txt").read_text().count("total_timesteps") == 6
    assert not list(Path("run").glob("events*"))


# -- what cannot be resumed ------------------------------------------------------------------------


@table(
    ("options", "message"),
    [
        (["Pendulum-v1"], "run is a run of CartPole-v1, not Pendulum-v1; omit the environment"),
        (["--target-kl", "0.5"], "run was started with target_kl=0.01, not 0.5"),
        (["--seed", "3"], "run was started with seed=0, not 3"),
        (["--set", "gamma=0.5"], "run was started with gamma=0.98, not 0.5"),
        (["--set", "gama=0.5"], "unknown setting 'gama'; did you mean 'gamma'"),
        (["--policy", "LinearPolicy"], "started with policy='MlpPolicy', not 'LinearPolicy'"),
        (
            ["--resume", "run/config.json"],
            "run/config.json is a file; pass the run's folder, 'run'",
        ),
        (["--out", "there"], "omit --out"),
        (["--total-timesteps", "0"], "--total-timesteps must be an integer >= 1, got 0"),
        (["--total-timesteps", "1"], "more than --total-timesteps 1"),
        (["--checkpoint-every", "-1"], "--checkpoint-every must be a number >= 0, got -1.0"),
        (["--checkpoint-every", "nan"], "--checkpoint-every must be a number >= 0, got nan"),
    ],
)
def test_invalid_options_on_resume_are_one_line_and_change_nothing(options, message, capsys):
    train("CartPole-v1", "--out", "run", iterations=1)
    before = {p: p.read_bytes() for p in Path("run").iterdir()}
    capsys.readouterr()
    assert resume(*options) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert message in err
    assert before == {p: p.read_bytes() for p in Path("run").iterdir()}


def test_a_read_only_run_folder_is_one_line(capsys, monkeypatch):
    train("CartPole-v1", "--out", "run", iterations=1)
    before = {p: p.read_bytes() for p in Path("run").iterdir()}
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may do anything
    monkeypatch.setattr(Path, "unlink", lambda path, missing_ok=False: os.rmdir(path))  # fails
    capsys.readouterr()
    assert resume() == 0
    assert "run is finished" in capsys.readouterr().out
    assert resume("--total-timesteps", "9999") == 2
    assert capsys.readouterr().err == (
        "fasttrpo: cannot write to 'run'; resume a copy of it elsewhere\n"
    )
    assert before == {p: p.read_bytes() for p in Path("run").iterdir()}


def test_missing_newer_and_damaged_runs_are_named(capsys):
    assert cli.main(["train", "--resume", "nowhere"]) == 2
    assert "there is no run 'nowhere'" in capsys.readouterr().err
    train("CartPole-v1", "--out", "run", iterations=1)
    with np.load("run/checkpoint.npz") as archive:
        members = {name: archive[name] for name in archive.files}
    header = json.loads(str(members["header"])) | {"format": 99, "version": "9.9"}
    np.savez("run/checkpoint.npz", **{**members, "header": np.array(json.dumps(header))})
    assert resume() == 2
    assert "checkpoint.npz has format 99, written by fasttrpo 9.9" in capsys.readouterr().err
    Path("run/checkpoint.npz").unlink()
    assert resume() == 2
    assert "run cannot be resumed: there is no model file" in capsys.readouterr().err
    Path("run/config.json").write_text('{"env_id": "CartPole-v1"}')
    assert resume() == 2
    assert "config.json is damaged: it has no 'total_timesteps'" in capsys.readouterr().err


# -- killed ----------------------------------------------------------------------------------------

LONG = ["Pendulum-v1", "--n-envs", "10", "--n-steps", "200", "--total-timesteps"]


def start(*options):
    """`fasttrpo train` in its own process."""
    path = os.pathsep.join(
        [str(Path(fasttrpo.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    )
    command = [sys.executable, "-m", "fasttrpo", "train", *options, "--no-progress"]
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def start_and_wait_for_progress(*options):
    """Start a run and return once it has written progress."""
    process = start(*options)
    before = progress_size()
    while process.poll() is None and progress_size() == before:
        time.sleep(0.002)
    return process


def progress_size():
    path = Path("run/progress.csv")
    return path.stat().st_size if path.exists() else 0


def kill_and_resume(n_kills, every, total, seed=0):
    """Kill a run at random moments, resuming it in between, then let it finish."""
    draw = random.Random(seed)
    first = [*LONG, total, "--out", "run", "--checkpoint-every", every]
    resumed = ["--resume", "run", "--checkpoint-every", every]
    for i in range(n_kills):
        process = start_and_wait_for_progress(*(resumed if i else first))
        time.sleep(draw.uniform(0, 0.05))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it wait_for before it could be killed"
        TRPO.load("run/checkpoint.npz")  # it is complete
    wait_for(start(*resumed))


@in_c
@needs_extension  # or it takes a minute
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
@pytest.mark.parametrize(
    ("n_kills", "every", "total"),
    [
        (2, "0.01", "80000"),
        pytest.param(10, "0", "400000", marks=pytest.mark.slow),
        pytest.param(10, "0.05", "400000", marks=pytest.mark.slow),
    ],
)
def test_a_run_killed_at_random_moments_resumes_bit_for_bit(n_kills, every, total):
    wait_for(start(*LONG, total, "--out", "whole"))
    kill_and_resume(n_kills, every, total)
    assert same_run("whole", "run")
    assert {p.name for p in Path("run").iterdir()} == FILES


@in_c
@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sigint_and_sigterm_save_the_run(number):
    process = start_and_wait_for_progress(*LONG, "10000000", "--out", "run")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "resume with: fasttrpo train --resume run" in out
    done = TRPO.load("run/checkpoint.npz").n_updates
    assert TRPO.load("run/model.npz").n_updates == done
    assert len(curve("run")) - done in (0, 1)  # a line that a resumed run writes again
    assert f"interrupted at step {done * 2000}; saved in run" in out


@in_c
@pytest.mark.skipif(os.name == "nt", reason="folders have no locks there")
def test_one_process_at_a_time_trains_in_a_folder(capsys):
    process = start_and_wait_for_progress(*LONG, "10000000", "--out", "run")
    try:
        assert resume() == 2
        assert capsys.readouterr() == (
            "",
            "fasttrpo: another process is training in run; wait until it ends, or stop it\n",
        )
    finally:
        process.kill()
        process.communicate()
    done = TRPO.load("run/checkpoint.npz").num_timesteps
    assert resume("--total-timesteps", str(done + 1)) == 0


# -- a full disk -----------------------------------------------------------------------------------


@in_c
@pytest.mark.skipif(os.name == "nt", reason="there are no such limits")
@pytest.mark.parametrize("room", [5000, 10])  # enough for the log, or for nothing
def test_a_full_disk_leaves_the_saved_files_intact(room, capsys):
    """A limit on file sizes below a checkpoint's stands in for the disk."""
    train("CartPole-v1", "--out", "run", iterations=6)
    before = {p.name: p.read_bytes() for p in Path("run").iterdir()}
    capsys.readouterr()
    with disk_of(len(before["progress.csv"]) + room):
        code = resume("--total-timesteps", str(8 * ITERATION), "--checkpoint-every", "0")
    assert code == 1
    err = capsys.readouterr().err
    assert err.startswith("fasttrpo: cannot save run/")
    assert "the existing file is unchanged" in err
    for name in ("checkpoint.npz", "model.npz"):
        assert (Path("run") / name).read_bytes() == before[name]
    assert not [p for p in Path("run").iterdir() if p.name.endswith(".tmp")]
    assert resume() == 0
    train("CartPole-v1", "--out", "whole", iterations=8)
    assert same_run("whole", "run")


def test_errors_of_the_environment_have_a_traceback_and_the_run_resumes(monkeypatch):
    def fail(self, action):
        raise OSError("the wheel came off")

    with monkeypatch.context() as patch:
        patch.setattr(CartPoleEnv, "step", fail)
        with pytest.raises(OSError, match="the wheel came off"):
            train("CartPole-v1", "--env-backend", "gymnasium", "--out", "run")
    assert resume() == 0
