"""env_backend="async": each environment in a process of its own."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from helpers import Counter, small_model
from python_envs import pick
from space_envs import PartedCounter, TupleCounter
from tables import table

import fasttrpo
from fasttrpo import evaluate_policy

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="local classes need forked processes"),
    pytest.mark.filterwarnings("ignore:.*use of fork", "ignore:.*multi-threaded"),
]


class Bounded(Counter):
    """Has no observation after a termination, varying infos, and masks from a method."""

    def __init__(self):
        super().__init__(length=5)

    def step(self, action):
        obs, reward, terminated, truncated, _ = super().step(action)
        info = {"odd": self.t} if self.t % 2 else {"odd": "no", "at": {"t": self.t}}
        return (None if terminated else obs), reward, terminated, truncated, info

    def action_masks(self):
        return [True, self.t % 3 == 0]


@table("env", ["Taxi-v4", "Blackjack-v1", "Pendulum-v1", PartedCounter, TupleCounter, Bounded])
def test_processes_train_and_evaluate_as_one_process_does(env):
    if env == "Taxi-v4" and env not in gymnasium.registry:
        env = "Taxi-v3"  # Gymnasium before 1.4
    in_turn, in_processes = (
        small_model(env, n_envs=3, env_backend=backend).learn(96)
        for backend in ("gymnasium", "async")
    )
    processes = in_processes.get_env().vector_env.processes
    assert len({os.getpid(), *(each.pid for each in processes)}) == 4
    assert np.array_equal(in_turn.theta, in_processes.theta)
    results = [
        evaluate_policy(model, env, 2, seed=1, return_episode_rewards=True)
        for model in (in_turn, in_processes)
    ]
    assert results[0] == results[1]


# -- errors ----------------------------------------------------------------------------------------


class LocalError(Exception):
    """Cannot be sent to another process: its constructor needs more than its args."""

    def __init__(self, wheel, road):
        super().__init__(f"{wheel} on the {road}")


class Failing(Counter):
    """Fails in a later step, unless it is a first episode's."""

    failure = OSError("the wheel came off")

    def step(self, action):
        if self.episode == 2:
            self.fail_here()
        return super().step(action)

    def fail_here(self):
        raise self.failure


@table(
    ("failure", "kind", "words"),
    [
        (OSError("the wheel came off"), OSError, "the wheel came off"),
        (KeyError("wheel"), KeyError, "'wheel'"),
        (LocalError("ice", "road"), RuntimeError, "LocalError: ice on the road"),
    ],
)
def test_errors_have_the_traceback_of_the_environment(failure, kind, words, monkeypatch):
    monkeypatch.setattr(Failing, "failure", failure)
    model = small_model(Failing, n_envs=2, env_backend="async")
    with pytest.raises(kind) as raised:
        model.learn(64)
    assert str(raised.value) == words
    first, second = raised.value.__notes__
    assert first.startswith("in the process of environment 0:\nTraceback")
    assert "in fail_here" in first
    assert second == "raised by the environment's step at step 6"
    with monkeypatch.context() as patch:
        patch.setattr(Failing, "fail_here", lambda self: None)
        with pytest.warns(RuntimeWarning, match="new ones are started"):
            model.learn(64, reset_num_timesteps=False)


def test_wrong_answers_are_explained():
    class Old(Counter):
        def step(self, action):
            return super().step(action)[:4]

    with pytest.raises(ValueError, match="environment 0 returned a tuple of 4 from step"):
        small_model(Old, n_envs=2, env_backend="async").learn(64)


def test_errors_of_makers_reach_the_user():
    main = os.getpid()

    def make():
        if os.getpid() != main:
            raise OSError("no licence is left")
        return Counter()

    with pytest.raises(OSError, match="no licence is left"):
        small_model(make, n_envs=2, env_backend="async")


@table(
    ("env", "words"),
    [
        (Counter(), "env_backend='async' is for environments that are made"),
        (gymnasium.make_vec("CartPole-v1", 2), "env_backend='async' is for environments"),
        (pick, "env_backend='async': .* is compiled, and stepped on threads"),
    ],
    ids=["env", "vector_env", "definition"],
)
def test_what_exists_or_is_compiled_has_no_processes(env, words):
    with pytest.raises(ValueError, match=words):
        small_model(env, env_backend="async")


# -- the end ---------------------------------------------------------------------------------------


class Noted(Counter):
    """Leaves a file when it is closed."""

    def close(self):
        Path(f"closed_{os.getpid()}").touch()


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_processes_end_with_the_model_and_close_their_environments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = small_model(Noted, n_envs=3, env_backend="async").learn(64)
    pids = [each.pid for each in model.get_env().vector_env.processes]
    assert all(map(is_running, pids))
    del model
    gc.collect()
    assert not any(map(is_running, pids))
    assert {f"closed_{pid}" for pid in pids} < {each.name for each in tmp_path.iterdir()}


SCRIPT = """
import os, sys
from fasttrpo import TRPO
from test_in_processes import Failing, Noted

class Env(Noted, Failing):
    def fail_here(self):
        if "fail" in sys.argv:
            raise OSError("the wheel came off")

model = TRPO("MlpPolicy", Env, n_envs=2, n_steps=8, env_backend="async", seed=0)
print(*(each.pid for each in model.get_env().vector_env.processes), flush=True)
model.learn(10**9 if "interrupt" in sys.argv else 64)
"""


@table(("how", "status"), [("finish", 0), ("fail", 1), ("interrupt", -signal.SIGINT)])
def test_processes_end_with_the_program(how, status, tmp_path):
    """Without guard, and however it ends; Ctrl-C in a terminal reaches the whole group."""
    places = [str(Path(fasttrpo.__file__).parents[1]), str(Path(__file__).parent)]
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, how],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids = [int(pid) for pid in script.stdout.readline().split()]
    if how == "interrupt":
        os.killpg(script.pid, signal.SIGINT)
    _, errors = script.communicate(timeout=60)
    assert script.returncode == status, errors
    assert errors.count("Traceback") == {"finish": 0, "fail": 2, "interrupt": 1}[how]
    assert "resource_tracker" not in errors
    assert not any(map(is_running, pids))
    assert {f"closed_{pid}" for pid in pids} < {each.name for each in tmp_path.iterdir()}


def test_the_view_reaches_environments_in_processes():
    class Adjustable(Counter):
        level = 1

        def raise_level(self, by):
            self.level += by
            return self.level

    vec_env = small_model(Adjustable, n_envs=3, env_backend="async").get_env()
    assert vec_env.env_method("raise_level", 2, indices=[0, 2]) == [3, 3]
    assert vec_env.get_attr("level") == [3, 1, 3]
    vec_env.set_attr("level", 7, indices=1)
    assert vec_env.get_attr("level", 1) == [7]
    assert not vec_env.has_attr("nothing")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        vec_env.env_method("nothing")
    vec_env.reset()
    vec_env.close()
