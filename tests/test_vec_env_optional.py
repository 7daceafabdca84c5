"""`VecEnv`s that implement only a part of Stable-Baselines3's interface."""

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
    """CartPoles with only the required members: reset, step_async, step_wait and spaces."""

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
    """Raises as real wrappers do, such as SuperSuit's around PettingZoo."""
    names = ("seed", "get_attr", "has_attr", "env_method", "render", "close")
    return type("Lacking", (Bare,), {name: raising(error) for name in names})


def silent():
    """Returns None from every optional method."""
    names = ("get_attr", "has_attr", "env_method", "render", "close")
    return type("Silent", (Bare,), dict.fromkeys(names, lambda self, *args, **keywords: None))


KINDS = [Bare, silent(), *map(lacking, MISSING)]


@table("kind", KINDS)
def test_incomplete_vec_envs_train_and_evaluate(kind, tmp_path):
    """Without a seed nothing is seeded, in loaded models too, and nothing warns."""
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


def test_vec_envs_are_seeded_only_if_the_user_gave_a_seed(tmp_path):
    seeds = []

    class Recording(VecCartPole):
        def seed(self, seed):
            seeds.append(seed)
            super().seed(seed)

    TRPO("MlpPolicy", Recording(2), n_steps=16).learn(32)
    assert seeds == []
    model = TRPO("MlpPolicy", Recording(2), n_steps=16, seed=1)
    model.learn(32)
    assert len(seeds) == 1
    model.save(tmp_path / "model")
    TRPO.load(tmp_path / "model", Recording(2)).learn(32)
    assert len(seeds) == 2
    model = TRPO("MlpPolicy", Recording(2), n_steps=16)
    model.set_random_seed(3)
    model.learn(32)
    assert len(seeds) == 3


@pytest.mark.parametrize("error", MISSING)
def test_a_vec_env_that_cannot_be_seeded_warns(error):
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
def test_masks_are_read_by_whichever_method_exists(lacks):
    kind = type("Some", (Masked,), dict.fromkeys(lacks))
    model = small_model(kind(2))
    actions = []
    model.learn(32, lambda l, g: actions.append(l["actions"]))  # noqa: E741
    assert not np.any(actions)


def ending(last_obs, truncates=False, mode=None):
    """One environment whose episodes of three steps end with this observation."""

    class Ending(Counter):
        def step(self, action):
            obs, *rest = super().step(action)
            return (last_obs if rest[1] or rest[2] else obs), *rest

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
                info |= {} if last_obs == "missing" else {"terminal_observation": last_obs}
                obs, _ = self.env.reset()
            return obs[None], np.array([reward]), np.array([terminated or truncated]), [info]

    if mode is None:
        return VecEnv()
    return SyncVectorEnv([lambda: Ending(3, truncates)], autoreset_mode=mode)


@pytest.mark.parametrize("last_obs", ["missing", None, np.array([np.nan], np.float32)], ids=str)
def test_terminated_episodes_need_no_last_observation(last_obs):
    model = small_model(ending(last_obs)).learn(48)
    assert model.records[-1]["length_mean"] == 3
    assert evaluate_policy(model, ending(last_obs), 2) == (6.0, 0.0)


@pytest.mark.parametrize("last_obs", ["missing", None, np.array([np.nan], np.float32)], ids=str)
def test_truncated_episodes_need_a_last_observation(last_obs):
    with pytest.raises(ValueError, match=r"last observation|not finite"):
        small_model(ending(last_obs, truncates=True)).learn(48)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_gymnasium_needs_a_last_observation_only_if_truncated(mode):
    nothing = np.array([np.nan], np.float32)
    model = small_model(ending(nothing, mode=mode)).learn(48)
    assert model.records[-1]["length_mean"] == 3
    with pytest.raises(ValueError, match="not finite"):
        small_model(ending(nothing, truncates=True, mode=mode)).learn(48)


def test_an_undeclared_autoreset_mode_warns_with_a_remedy():
    """The remedy in the warning works when executed."""
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


def test_environments_of_one_class_may_have_different_modes():
    """Gymnasium 1.1 writes the mode into metadata shared by the class."""

    class Shared(Counter):
        metadata = {"render_modes": []}  # noqa: RUF012

    kinds = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]
    envs = [SyncVectorEnv([Shared], autoreset_mode=mode) for mode in kinds]
    assert [insides(small_model(env)).stream.mode for env in envs] == kinds
