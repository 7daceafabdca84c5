"""Environments in subprocesses: after an interrupted call, `learn` continues."""

from __future__ import annotations

import os
import sys
import warnings

import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from helpers import insides, small_model
from process_envs import (
    LENGTH,
    SubprocVecEnv,
    die,
    fail,
    interrupt,
    interrupt_all,
    makers,
)
from tables import table

from fasttrpo import evaluate_policy

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the environments are forked"),
    pytest.mark.filterwarnings("ignore:.*use of fork", "ignore:.*multi-threaded"),
]
RETURN = LENGTH * (LENGTH + 1) / 2


def asynchronous(how, mode=AutoresetMode.SAME_STEP, **keywords):
    return AsyncVectorEnv(makers(how), autoreset_mode=mode, context="fork", **keywords)


def assert_episodes_are_complete(model, env):
    """Nothing is left of the interrupted step."""
    model.learn(96, reset_num_timesteps=False)
    assert {(each.total, each.length) for each in insides(model).statistics.window} == {
        (RETURN, LENGTH)
    }
    assert evaluate_policy(model, env, 3) == (RETURN, 0.0)


@table("mode", list(AutoresetMode))
@table("how", [interrupt, "interrupted reset"])
def test_after_an_interrupt_the_same_processes_continue(how, mode):
    env = asynchronous(how, mode)
    model, before = small_model(env), [each.pid for each in env.processes]
    with pytest.raises(KeyboardInterrupt):
        model.learn(96)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert_episodes_are_complete(model, env)
    assert [each.pid for each in env.processes] == before
    env.close()


@table(
    ("how", "error"),
    [(interrupt_all, KeyboardInterrupt), (fail, OSError), (die, RuntimeError)],
)
@table("shared", [True, False])
def test_ended_processes_are_restarted(how, error, shared):
    inside = asynchronous(how, shared_memory=shared)
    env = RecordEpisodeStatistics(inside)
    model = small_model(env)
    with pytest.raises(error) as raised:
        model.learn(96)
    if how is die:
        assert "1 (exit code 3)" in str(raised.value)
        assert "raised by the environment's step at step 12" in raised.value.__notes__
    with pytest.warns(RuntimeWarning, match="new ones are started"):
        assert_episodes_are_complete(model, env)
    assert inside.shared_memory == shared
    assert all(each.is_alive() for each in inside.processes)
    env.close()


def test_an_interrupted_evaluation_leaves_nothing_behind():
    env = asynchronous(interrupt)
    model = small_model(asynchronous(None))
    with pytest.raises(KeyboardInterrupt):
        evaluate_policy(model, env, 9)
    assert evaluate_policy(model, env, 3) == (RETURN, 0.0)
    env.close()
    model.get_env().close()


def test_an_action_that_cannot_be_sent_leaves_nothing_behind():
    """Some processes have received it, although the vector environment does not know."""
    env = asynchronous(None)
    env.reset()
    env.parent_pipes[0].send(("step", 0))
    assert_episodes_are_complete(small_model(env), env)
    env.close()


@pytest.fixture
def _subproc_vec_env(monkeypatch):
    """The stand-in is Stable-Baselines3's class."""
    name = "stable_baselines3.common.vec_env.subproc_vec_env"
    monkeypatch.setitem(sys.modules, name, sys.modules["process_envs"])


@pytest.mark.usefixtures("_subproc_vec_env")
@pytest.mark.parametrize("how", [interrupt, "interrupted reset"])
def test_a_subproc_vec_env_continues_after_an_interrupt(how):
    env = SubprocVecEnv(makers(how))
    model = small_model(env)
    with pytest.raises(KeyboardInterrupt):
        model.learn(96)
    assert_episodes_are_complete(model, env)
    env.close()


@pytest.mark.usefixtures("_subproc_vec_env")
@pytest.mark.parametrize(("how", "code"), [(die, 3), (fail, 1), (interrupt_all, 0)])
def test_ended_processes_of_a_subproc_vec_env_are_named(how, code):
    """fasttrpo cannot restart them, since it does not know how they were created."""
    env = SubprocVecEnv(makers(how))
    model = small_model(env)
    with pytest.raises((RuntimeError, KeyboardInterrupt)):
        model.learn(96)
    words = rf"SubprocVecEnv: processes have ended.* 1 \(exit code {code}\).*pass it to set_env"
    with pytest.raises(RuntimeError, match=words):
        model.learn(96)
    fresh = SubprocVecEnv(makers(None))
    model.set_env(fresh)
    assert_episodes_are_complete(model, fresh)
    env.close()
    fresh.close()
