"""Who closes environments: the user those passed in, fasttrpo those created from an id.

Under Gymnasium 1.1 to 1.2.3, garbage collection of a vector environment closes it. Later versions
do not, so the tests restore that behaviour.
"""

from __future__ import annotations

import copy
import gc
import pickle

import gymnasium
import pytest
from gymnasium.vector import VectorEnv
from helpers import Counter, small_model
from tables import table
from vec_env import VecCartPole

from fasttrpo import TRPO, evaluate_policy
from fasttrpo.callbacks import EvalCallback


def close_when_collected(self):
    """As in Gymnasium 1.1 to 1.2.3."""
    if not getattr(self, "closed", True):
        self.close()


@pytest.fixture(autouse=True)
def _closing_on_collection(monkeypatch):
    monkeypatch.setattr(VectorEnv, "__del__", close_when_collected, raising=False)


class Connected(Counter):
    """Fails when used after close."""

    closed = 0

    def reset(self, **keywords):
        assert not self.closed, "not connected"
        return super().reset(**keywords)

    def step(self, action):
        assert not self.closed, "not connected"
        return super().step(action)

    def close(self):
        self.closed += 1


class Closable(VecCartPole):
    """Counts its calls of close."""

    closed = 0

    def close(self):
        self.closed += 1


def evaluate_twice(model, env):
    for _ in range(2):
        evaluate_policy(model, env, 2)


def evaluate_by_callback(model, env):
    for _ in range(2):
        model.learn(32, EvalCallback(env, eval_freq=8, n_eval_episodes=1, verbose=0))
        gc.collect()


def train_in(model, env):
    model.set_env(env)
    model.learn(16)
    model.set_env("CartPole-v1" if isinstance(env, VecCartPole) else Counter())


def load_for(model, env):
    file = pickle.dumps(model)
    other = pickle.loads(file)
    other.set_env(env)
    copy.deepcopy(other)
    del other


def refuse(model, env):
    other = small_model(gymnasium.make("Pendulum-v1"))
    for take in (other.set_env, lambda env: evaluate_policy(other, env, 1)):
        with pytest.raises(ValueError, match="was made for"):
            take(env)


USES = [evaluate_twice, evaluate_by_callback, train_in, load_for, refuse]


@table("use", USES, ids=lambda use: use.__name__)
@table("kind", ["env", "vec_env"])
def test_environments_passed_in_stay_open(kind, use):
    env, own = (Connected(), Counter()) if kind == "env" else (Closable(2), VecCartPole(2))
    use(small_model(own), env)
    gc.collect()
    assert env.closed == 0
    model = small_model(env)
    model.learn(16)
    del model
    gc.collect()
    assert env.closed == 0
    env.reset()


def test_closing_the_view_closes_the_environment():
    env, vec_env = Connected(), Closable(1)
    small_model(env).get_env().close()
    small_model(vec_env).get_env().close()
    assert (env.closed, vec_env.closed) == (1, 1)


@pytest.fixture
def created():
    """The environments created from an id."""
    created = []

    def make():
        created.append(Connected())
        return created[-1]

    gymnasium.register("Connected-v0", entry_point=make)
    yield created
    del gymnasium.registry["Connected-v0"]


def times_closed(envs):
    gc.collect()
    return [env.closed for env in envs]


def test_environments_from_an_id_are_closed_with_their_last_holder(created, monkeypatch):
    monkeypatch.delattr(VectorEnv, "__del__")
    model = TRPO("MlpPolicy", "Connected-v0", n_envs=2, n_steps=8)
    view = model.get_env()
    model.learn(16)
    model.set_env(Counter())
    assert times_closed(created[-2:]) == [0, 0]
    view.reset()
    del view
    assert times_closed(created[-2:]) == [1, 1]


def test_environments_are_closed_only_once(created):
    model = TRPO("MlpPolicy", "Connected-v0", n_envs=2, n_steps=8)
    for _ in range(2):
        model.get_env().close()
    del model
    assert times_closed(created[-2:]) == [1, 1]


def test_an_evaluation_closes_the_environments_it_created(created):
    model = small_model(Counter())
    evaluate_policy(model, "Connected-v0", 2)
    assert times_closed(created) == [1, 1]
    with pytest.raises(ValueError, match="was made for"):
        small_model("CartPole-v1").set_env("Connected-v0")
    assert set(times_closed(created)) == {1}
