"""`VecEnv`s that only look like Stable-Baselines3's: much of it may be missing, or says nothing."""

from __future__ import annotations

import copy
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from helpers import Counter, insides, small_model
from tables import table
from vec_env import VecCartPole

from fasttrpo import TRPO, evaluate_policy

MISSING = [AttributeError, NotImplementedError, RuntimeError]


class Bare:
    """CartPoles with what has to be there: reset, step_async, step_wait and spaces."""

    def __init__(self, num_envs=2, limit=500):
        self._inside = VecCartPole(num_envs, limit)
        self.num_envs = num_envs
        self.observation_space = self._inside.observation_space
        self.action_space = self._inside.action_space

    def reset(self):
        return self._inside.reset()

    def step_async(self, actions):
        self._inside.step_async(actions)

    def step_wait(self):
        return self._inside.step_wait()


def raising(error):
    def method(self, *args, **keywords):
        raise error("not here")

    return method


def lacking(error):
    """What wrappers in use answer: SuperSuit's around PettingZoo, say."""
    names = ("seed", "get_attr", "has_attr", "env_method", "render", "close")
    return type("Lacking", (Bare,), {name: raising(error) for name in names})


def silent():
    """Answers None to everything."""
    names = ("get_attr", "has_attr", "env_method", "render", "close")
    return type("Silent", (Bare,), dict.fromkeys(names, lambda self, *args, **keywords: None))


KINDS = [Bare, silent(), *map(lacking, MISSING)]


@table("kind", KINDS)
def test_it_learns_and_is_evaluated(kind, tmp_path):
    """Without a seed nothing is seeded, in a loaded model neither, and nobody warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = TRPO("MlpPolicy", kind(), n_steps=16)
        model.learn(64)
        evaluate_policy(model, kind(), 2)
        evaluate_policy(model, model.get_env(), 2)
        model.save(tmp_path / "model")
        loaded = TRPO.load(tmp_path / "model", kind())
        loaded.learn(32)
        copied = copy.deepcopy(loaded)
        copied.set_env(kind())
        copied.learn(32)
    assert model.num_timesteps == 64


def test_a_seed_is_passed_on_where_the_user_gave_one(tmp_path):
    seen = []

    class Noting(VecCartPole):
        def seed(self, seed):
            seen.append(seed)
            super().seed(seed)

    TRPO("MlpPolicy", Noting(2), n_steps=16).learn(32)
    assert seen == []
    model = TRPO("MlpPolicy", Noting(2), n_steps=16, seed=1)
    model.learn(32)
    assert len(seen) == 1
    model.save(tmp_path / "model")
    TRPO.load(tmp_path / "model", Noting(2)).learn(32)
    assert len(seen) == 2
    asked = TRPO("MlpPolicy", Noting(2), n_steps=16)
    asked.set_random_seed(3)
    asked.learn(32)
    assert len(seen) == 3


@pytest.mark.parametrize("error", MISSING)
def test_a_seed_that_it_cannot_take_is_told(error):
    model = TRPO("MlpPolicy", lacking(error)(), n_steps=16, seed=1)
    with pytest.warns(RuntimeWarning, match=f"cannot be seeded.*{error.__name__}: not here"):
        model.learn(32)


class Masked(VecCartPole):
    """Only the first action is open."""

    def get_attr(self, name, indices=None):
        if name != "action_masks":
            raise AttributeError(name)
        return [lambda: np.array([True, False])] * self.num_envs

    def env_method(self, name, *args, indices=None, **keywords):
        return [method() for method in self.get_attr(name)]


@pytest.mark.parametrize("lacks", [(), ("env_method",)])
def test_masks_are_found_with_what_is_there(lacks):
    kind = type("Some", (Masked,), dict.fromkeys(lacks))
    model = small_model(kind(2))
    actions = []
    model.learn(32, lambda l, g: actions.append(l["actions"]))  # noqa: E741
    assert not np.any(actions)


def ending(said, truncates=False, mode=None):
    """One environment; an episode of three steps ends with that last observation."""

    class Ending(Counter):
        def step(self, action):
            obs, *rest = super().step(action)
            return (said if rest[1] or rest[2] else obs), *rest

    class VecEnv(Bare):
        def __init__(self):
            super().__init__(1)
            self.env = Counter(3, truncates)
            self.observation_space = self.env.observation_space

        def reset(self):
            return self.env.reset()[0][None]

        def step_async(self, actions):
            self.action = actions[0]

        def step_wait(self):
            obs, reward, terminated, truncated, info = self.env.step(self.action)
            if terminated or truncated:
                info = {"TimeLimit.truncated": truncated}
                info |= {} if said == "missing" else {"terminal_observation": said}
                obs, _ = self.env.reset()
            return obs[None], np.array([reward]), np.array([terminated or truncated]), [info]

    if mode is None:
        return VecEnv()
    return SyncVectorEnv([lambda: Ending(3, truncates)], autoreset_mode=mode)


@pytest.mark.parametrize("said", ["missing", None, np.array([np.nan], np.float32)], ids=str)
def test_a_terminated_episode_needs_no_last_observation(said):
    model = small_model(ending(said)).learn(48)
    assert model.records[-1]["length_mean"] == 3
    assert evaluate_policy(model, ending(said), 2) == (6.0, 0.0)


@pytest.mark.parametrize("said", ["missing", None, np.array([np.nan], np.float32)], ids=str)
def test_a_truncated_one_does(said):
    with pytest.raises(ValueError, match=r"last observation|not finite"):
        small_model(ending(said, truncates=True)).learn(48)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_nor_does_one_of_gymnasium_s(mode):
    nothing = np.array([np.nan], np.float32)
    model = small_model(ending(nothing, mode=mode)).learn(48)
    assert model.records[-1]["length_mean"] == 3
    with pytest.raises(ValueError, match="not finite"):
        small_model(ending(nothing, truncates=True, mode=mode)).learn(48)


def test_a_mode_that_is_not_declared_has_a_remedy():
    """And that remedy works."""
    env = SyncVectorEnv([Counter], autoreset_mode=AutoresetMode.SAME_STEP)
    env.metadata = {}
    with pytest.warns(UserWarning, match="NEXT_STEP") as caught:
        small_model(env)
    (text,) = [str(w.message) for w in caught if "NEXT_STEP" in str(w.message)]
    remedy = text[text.index("env.metadata =") : text.index("(or")]
    exec(remedy, {"env": env, "gymnasium": gymnasium})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert insides(small_model(env)).stream.mode is AutoresetMode.SAME_STEP


def test_modes_of_one_class_are_told_apart():
    """Gymnasium 1.1 writes an environment's mode into what all of its class share."""

    class Shared(Counter):
        metadata = {"render_modes": []}  # noqa: RUF012

    kinds = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]
    envs = [SyncVectorEnv([Shared], autoreset_mode=mode) for mode in kinds]
    assert [insides(small_model(env)).stream.mode for env in envs] == kinds
