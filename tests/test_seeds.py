"""`fasttrpo train --seeds`: runs in parallel, each identical to a solo run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from agents import needs_extension
from helpers import same_state
from run_folders import write_run
from tables import table

import fasttrpo
from fasttrpo import TRPO, cli
from fasttrpo.cli import children, seeds
from fasttrpo.cli.errors import UsageError
from fasttrpo.core import backend
from fasttrpo.files.atomic import alone_in

SIZES = ["--n-envs", "3", "--n-steps", "40", "--no-progress"]
SHORT = [*SIZES, "--total-timesteps", "480"]

no_signals = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")


def same_runs(one, other):
    return all(
        same_state(*(TRPO.load(Path(folder) / name) for folder in (one, other)))
        for name in ("model.npz", "checkpoint.npz")
    )


# -- child processes ------------------------------------------------------------------------------


@pytest.fixture
def run_tasks(monkeypatch):
    """Runs children that do what the names of their folders say, with this fasttrpo."""
    monkeypatch.syspath_prepend(str(Path(fasttrpo.__file__).parents[1]))
    monkeypatch.setattr(children, "PROGRAM", Path(__file__).with_name("child_tasks.py"))

    def run(names, jobs, watch=lambda *progress: None):
        tasks = [children.Task(name, {}, {}, 0, ()) for name in names]
        return children.run(tasks, jobs, watch)

    return run


@no_signals
def test_a_child_that_fails_or_dies_does_not_affect_the_others(run_tasks):
    pids = {}
    names = ["a", "fail", "die", "b", "exit", "c"]
    outcomes, interrupted = run_tasks(
        names, 2, lambda folder, steps, mean, kl: pids.update({folder.name: steps})
    )
    assert not interrupted
    assert [o.task.folder for o in outcomes] == names
    assert [o.result for o in outcomes] == ["a done", None, None, "b done", None, "c done"]
    killed = "its process was killed by signal 9"
    assert [o.error for o in outcomes] == ["", "no luck", killed, "", "exit code 3", ""]
    assert outcomes[1].traceback == "in work"
    assert len(set(pids.values())) == len(pids) == len(names)


@no_signals
def test_a_child_may_die_in_the_middle_of_a_message(run_tasks):
    outcomes, _ = run_tasks(["die in a message", "a"], 1)
    assert [(o.result, o.error != "") for o in outcomes] == [(None, True), ("a done", False)]


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_children_have_one_thread_and_the_current_variables(run_tasks, monkeypatch):
    monkeypatch.setenv("SET_IN_BETWEEN", "yes")
    outcomes, _ = run_tasks(["threads", "variable"], 1)
    assert [(o.result, o.error) for o in outcomes] == [(1, ""), ("yes", "")]


@no_signals
def test_ctrl_c_lets_all_children_save(run_tasks):
    reports = []

    def watch(folder, steps, mean, kl):
        reports.append(mean)
        if len(reports) == 2:  # both are running
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()

    with ctrl_c_raises():
        outcomes, interrupted = run_tasks(["wait:1", "wait:2", "a"], 2, watch)
    assert interrupted
    assert reports[2:] == [1.0, 1.0]
    assert [(o.result, o.error) for o in outcomes] == [(None, "")] * 3


@no_signals
def test_ctrl_c_as_a_child_exits_loses_nothing(run_tasks, monkeypatch):
    wait = subprocess.Popen.wait

    def pressed(process, timeout=None):
        os.kill(os.getpid(), signal.SIGINT)
        return wait(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", pressed)
    with ctrl_c_raises():
        outcomes, interrupted = run_tasks(["a", "b"], 1)
    assert interrupted
    assert [o.result for o in outcomes] == ["a done", None]


@contextmanager
def ctrl_c_raises():
    """Whatever handler the tests run under."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_child_that_imports_another_file_is_refused(run_tasks, monkeypatch, tmp_path):
    """Here a module that this process imported before `sys.path` had another."""
    import wave

    assert wave.__file__
    (tmp_path / "wave.py").write_text("")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(children.OtherModulesError, match="wave"):
        run_tasks(["other:wave"], 1)


def test_a_child_with_another_backend_is_refused(run_tasks, monkeypatch):
    system = fasttrpo.core.backend.describe()
    monkeypatch.setattr(fasttrpo.core.backend, "describe", lambda: system | {"backend": "another"})
    with pytest.raises(children.OtherModulesError, match="backend"):
        run_tasks(["a"], 1)


# -- seeds ----------------------------------------------------------------------------------------


def train_alone(*options):
    """Trains in a process with one thread for linear algebra, as the pool does: the portable
    backend's bits depend on NumPy's number of threads.
    """
    command = [sys.executable, "-m", "fasttrpo", "train", *options]
    env = os.environ | dict.fromkeys(backend.LIBRARY_THREADS, "1")
    subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)


def test_a_seed_equals_its_solo_run(capsys):
    assert cli.main(["train", "CartPole-v1", "--seeds", "1,3", "--jobs", "2", *SHORT]) == 0
    out = capsys.readouterr().out
    group = Path("runs/CartPole-v1")
    assert sorted(path.name for path in group.iterdir()) == ["seed1", "seed3", "summary.json"]
    returns = []
    for seed in ("1", "3"):
        train_alone("CartPole-v1", "--seed", seed, "--out", f"alone{seed}", *SHORT)
        assert same_runs(group / f"seed{seed}", f"alone{seed}")
        result = (group / f"seed{seed}" / "evaluation.json").read_text()
        assert result == Path(f"alone{seed}/evaluation.json").read_text()
        returns.append(json.loads(result)["mean_return"])
    summary = json.loads((group / "summary.json").read_text())
    assert summary["mean"] == pytest.approx(np.mean(returns))
    assert summary["std"] == pytest.approx(np.std(returns))
    assert [summary["seed1"], summary["seed3"]] == returns
    assert f"2 seeds: return mean {summary['mean']:.2f}, std {summary['std']:.2f}, IQM" in out
    assert not (group / "seed1" / "error.txt").exists()
    config = json.loads((group / "seed1" / "config.json").read_text())
    assert (config["settings"]["seed"], config["settings"]["n_threads"]) == (1, 1)


def test_failures_are_reported_at_the_end_and_other_seeds_finish(capsys):
    options = ["--out", "group", *SHORT]
    assert cli.main(["train", "CartPole-v1", "--seeds", "0-1", *options]) == 0
    checkpoint = Path("group/seed0/checkpoint.npz")
    complete = checkpoint.read_bytes()
    checkpoint.write_bytes(complete[:100])
    more = ["train", "--resume", "group", "--total-timesteps", "960", "--no-progress"]
    capsys.readouterr()
    assert cli.main(more) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[-2].startswith(
        "failed: group/seed0: FormatError: group/seed0/checkpoint.npz is not a"
    )
    assert out[-2].endswith("; its traceback: group/seed0/error.txt")
    assert out[-1] == "saved in group; resume with: fasttrpo train --resume group"
    assert "Traceback" in Path("group/seed0/error.txt").read_text()
    assert TRPO.load("group/seed1/model.npz").num_timesteps == 960
    checkpoint.write_bytes(complete)
    with alone_in(Path("group/seed1")):  # as another process would
        Path("group/seed1/evaluation.json").unlink()
        assert cli.main(more) == 1
    assert "seed1: InUseError: another process is training in" in capsys.readouterr().out
    assert not Path("group/seed1/error.txt").exists()
    assert cli.main(more) == 0
    assert TRPO.load("group/seed0/model.npz").num_timesteps == 960
    assert not Path("group/seed0/error.txt").exists()


def test_eval_rejects_a_folder_of_several_runs(capsys):
    for seed in range(2):
        write_run(Path("group") / f"seed{seed}", seed=seed)
    assert cli.main(["eval", "group"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("fasttrpo: group contains several runs")
    assert "'group/seed0'" in err


def start(*options):
    home = str(Path(fasttrpo.__file__).parents[1])
    path = os.pathsep.join([home, os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "fasttrpo", "train", *options, "--no-progress"]
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@needs_extension  # otherwise it takes a minute
@no_signals
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_all_seeds(number):
    sizes = ["--n-envs", "10", "--n-steps", "200", "--jobs", "2"]
    options = ["--out", "group", "--total-timesteps", "10000000", *sizes]
    process = start("Pendulum-v1", "--seeds", "0-2", *options)
    while not all(is_training(seed) for seed in (0, 1)) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert (
        "interrupted: 0 of 3 seeds are finished; saved in group; resume with: fasttrpo train" in out
    )
    done = [TRPO.load(f"group/seed{seed}/checkpoint.npz").num_timesteps for seed in range(3)]
    assert min(done[:2]) > 0
    assert done[2] == 0
    if number == signal.SIGTERM:
        return  # resumed in the same way
    total = str(max(done) + 2000)
    assert cli.main(["train", "--resume", "group", "--total-timesteps", total, *SIZES[4:]]) == 0
    alone = ["--n-envs", "10", "--n-steps", "200", "--total-timesteps", total, "--no-progress"]
    cli.main(["train", "Pendulum-v1", "--seed", "1", "--out", "alone", *alone])
    assert same_runs("group/seed1", "alone")


def is_training(seed):
    path = Path(f"group/seed{seed}/progress.csv")
    return path.exists() and len(path.read_text().splitlines()) > 2  # at least one record


# -- arguments ------------------------------------------------------------------------------------


@table(
    ("text", "expected"),
    [("0-3", [0, 1, 2, 3]), ("7", [7]), ("0,3,5", [0, 3, 5]), ("4-5, 0", [4, 5, 0])],
)
def test_seeds_are_parsed(text, expected):
    assert seeds.parse(text) == expected


@table("text", ["", "a", "3-1", "0-", "-1", "0,,1", "1.5", "0-99999999"])
def test_invalid_seeds_are_rejected(text):
    with pytest.raises(UsageError, match="--seeds must be seeds like 0-9 or 0,3,5, got"):
        seeds.parse(text)


def test_the_default_jobs_fill_the_cores(monkeypatch):
    monkeypatch.setattr(fasttrpo.core.backend, "cores", lambda: 8)
    assert seeds.jobs_for(None, 1, 10) == 8
    assert seeds.jobs_for(None, 1, 3) == 3
    assert seeds.jobs_for(None, 4, 10) == 2
    assert seeds.jobs_for(None, 16, 10) == 1
    assert seeds.jobs_for(5, 4, 10) == 5


@table(
    ("options", "message"),
    [
        (["--seeds", "2,1-3"], "seed 2 twice"),
        (["--seeds", "x"], "--seeds must be seeds like 0-9 or 0,3,5, got 'x'"),
        (["--seeds", "0-1", "--seed", "0"], "--seed and --seeds exclude each other"),
        (["--seeds", "0-1", "--verbose"], "omit it with --seeds"),
        (["--seeds", "0-1", "--resume", "run"], "omit --seeds"),
        (["--seeds", "0-1", "--jobs", "0"], "--jobs must be an integer >= 1, got 0"),
        (["--jobs", "2"], "--jobs is for --seeds"),
        (["--jobs", "2", "--resume", "one"], "--jobs is for --seeds"),
        (["--seeds", "0-1", "--set", "gama=1"], "unknown setting 'gama'; did you mean 'gamma'"),
    ],
)
def test_wrong_arguments_are_one_line_and_leave_no_files(options, message, capsys, tmp_path):
    assert cli.main(["train", "CartPole-v1", *options]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert message in err
    assert list(tmp_path.iterdir()) == []


FAILING = """
import os
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv


class Own(CartPoleEnv):
    def step(self, action):
        if os.path.exists("fail"):
            raise OSError("the wheel came off")
        return super().step(action)


gymnasium.register("Own-v0", Own, max_episode_steps=20)
"""


@needs_extension
def test_debug_shows_the_traceback_of_a_failed_seed(capsys):
    Path("failing.py").write_text(FAILING)
    Path("fail").touch()
    train = ["train", "failing:Own-v0", "--seeds", "0", "--out", "group", *SHORT]
    assert cli.main(train) == 1
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    failed = "failed: group/seed0: OSError: the wheel came off; its traceback: group/seed0/error"
    assert failed in out
    assert cli.main(["train", "--resume", "group", "failing:Own-v0", "--debug"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert "the wheel came off" in err
    Path("fail").unlink()
    assert cli.main(["train", "--resume", "group", "failing:Own-v0", "--no-progress"]) == 0


@needs_extension
@no_signals
def test_a_child_whose_parent_is_killed_saves_and_ends():
    sizes = ["--n-envs", "10", "--n-steps", "200", "--total-timesteps", "10000000"]
    process = start("Pendulum-v1", "--seeds", "0", "--out", "group", *sizes)
    while not is_training(0) and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.communicate()  # until the child, which has the same output, has closed it
    with alone_in(Path("group/seed0")):
        assert TRPO.load("group/seed0/model.npz").num_timesteps > 0
    assert not Path("group/seed0/error.txt").exists()
