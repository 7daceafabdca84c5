"""Who closes environments: the user what was passed, fasttrpo what it made from an id.

Under Gymnasium 1.1 to 1.2.3 a vector environment that is collected closes itself; later ones do
not, so that the tests put this back.
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
    """As Gymnasium 1.1 to 1.2.3 have it."""
    if not getattr(self, "closed", True):
        self.close()


@pytest.fixture(autouse=True)
def _old_gymnasium(monkeypatch):
    monkeypatch.setattr(VectorEnv, "__del__", close_when_collected, raising=False)


class Connected(Counter):
    """Must not be used once it is closed."""

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
    """Counts how often it was closed."""

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
def test_what_is_passed_stays_open(kind, use):
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


def test_it_is_closed_where_the_user_says_so():
    env, vec_env = Connected(), Closable(1)
    small_model(env).get_env().close()
    small_model(vec_env).get_env().close()
    assert (env.closed, vec_env.closed) == (1, 1)


@pytest.fixture
def made():
    """The environments that an id made."""
    made = []

    def make():
        made.append(Connected())
        return made[-1]

    gymnasium.register("Connected-v0", entry_point=make)
    yield made
    del gymnasium.registry["Connected-v0"]


def times_closed(made):
    gc.collect()
    return [env.closed for env in made]


def test_what_was_made_from_an_id_is_closed_with_the_last_who_holds_it(made, monkeypatch):
    monkeypatch.delattr(VectorEnv, "__del__")
    model = TRPO("MlpPolicy", "Connected-v0", n_envs=2, n_steps=8)
    view = model.get_env()
    model.learn(16)
    model.set_env(Counter())
    assert times_closed(made[-2:]) == [0, 0]
    view.reset()
    del view
    assert times_closed(made[-2:]) == [1, 1]


def test_what_was_closed_is_not_closed_again(made):
    model = TRPO("MlpPolicy", "Connected-v0", n_envs=2, n_steps=8)
    for _ in range(2):
        model.get_env().close()
    del model
    assert times_closed(made[-2:]) == [1, 1]


def test_an_evaluation_closes_what_it_made(made):
    model = small_model(Counter())
    evaluate_policy(model, "Connected-v0", 2)
    assert times_closed(made) == [1, 1]
    with pytest.raises(ValueError, match="was made for"):
        small_model("CartPole-v1").set_env("Connected-v0")
    assert set(times_closed(made)) == {1}
