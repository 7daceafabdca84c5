"""Infos: each environment keeps its own values, whatever the others report."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics, TransformReward
from gymnasium.wrappers import vector as vectors
from helpers import COUNTERS, Counter, counters, small_model
from tables import table

from fasttrpo.callbacks import BaseCallback
from fasttrpo.stream.in_turn import InTurn
from fasttrpo.stream.infos import columns
from fasttrpo.stream.step import info_of


class Reporting(Counter):
    """Reports `value` in every info; at an episode's end also its result."""

    def __init__(self, value, success=True):
        super().__init__(3)
        self.value, self.success = value, success

    def reset(self, **keywords):
        return super().reset(**keywords)[0], self._info()

    def step(self, action):
        *returned, _ = super().step(action)
        end = {"is_success": self.success, "episode": {"r": self.success * 7, "l": 3}}
        return *returned, self._info() | (end if self.t == 3 else {})

    def _info(self):
        return {"value": self.value, "_own": 1, f"only_{self.value}": 2}


def same(a, b):
    """Whether two values have the same type and value."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    return (type(a) is type(b) or np.isscalar(b)) and a == b


def collect_infos(env, n_steps=16):
    """(model, infos): what callbacks receive from each environment, row by row."""
    rows = []

    class Noting(BaseCallback):
        def _on_step(self):
            rows.append(self.locals["infos"])

    model = small_model(env, n_steps=n_steps).learn(n_steps * len(env.envs), Noting())
    return model, list(zip(*rows, strict=True))


DIFFERENT = [
    (np.ones(2), np.ones(3)),
    (np.ones((2, 2), np.float32), np.ones((2, 2))),
    (np.array(["a"]), np.array(["long"])),
    (1, None),
    (None, 1.5),
    (3, "three"),
    ("a", 3),
    (0, 0.9),
    (True, 5),
    (np.int8(1), 300),
    (1, 2**70),
    (1, {"a": 1}),
    ({"a": 1}, 1),
    ({"a": {"b": 1}}, {"a": 2}),
    ({"a": 1}, {"b": [1, 2]}),
    ({}, {"a": None}),
    (1, np.ones(2)),
    (np.ones(2), 1),
    ([1], (1, 2)),
    (1j, object),
]


@table("values", DIFFERENT, ids=str)
def test_environments_may_report_different_types(values):
    env = InTurn([lambda: Reporting(values[0]), lambda: Reporting(values[1], False)])
    model, infos = collect_infos(env)
    for value, own in zip(values, infos, strict=True):
        for info in own:
            assert same(value, info["value"])
            assert (info["_own"], info[f"only_{value}"]) == (1, 2)
            assert sum("only" in key for key in info) == 1
    assert [episode["r"] for episode in model.ep_info_buffer][:2] == [7, 0]
    assert list(model.ep_success_buffer)[:2] == [True, False]


def test_infos_of_one_type_are_arrays():
    env = InTurn([lambda: Reporting(0.5), lambda: Reporting(0.25)])
    _, infos = env.reset()
    assert infos["value"].dtype == np.float64
    np.testing.assert_array_equal(infos["value"], [0.5, 0.25])
    np.testing.assert_array_equal(infos["_only_0.5"], [True, False])


def test_a_list_of_infos_converts_to_columns():
    rows = [{"a": 1, "deep": {"b": np.ones(2)}}, {}, {"a": "x", "deep": {"b": np.ones(3)}}]
    infos = columns(rows, 3)
    assert all(same(row, info_of(infos, env)) for env, row in enumerate(rows))


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_dict_info_to_list_does_not_change_training(mode):
    """Final observations are found in lists too."""
    models = [
        small_model(env, n_steps=20).learn(80)
        for env in (counters(mode), vectors.DictInfoToList(counters(mode)))
    ]
    plain, listed = (model.get_parameters()["policy"] for model in models)
    assert all(np.array_equal(plain[name], listed[name]) for name in plain)
    assert models[0].ep_info_buffer == models[1].ep_info_buffer


# -- returns and wrappers --------------------------------------------------------------------------


def halved(reward):
    return reward / 2


def around_each(mode):
    makers = [
        lambda how=how: TransformReward(RecordEpisodeStatistics(Counter(*how)), halved)
        for how in COUNTERS
    ]
    return SyncVectorEnv(makers, autoreset_mode=mode)


def between(mode):
    makers = [lambda how=how: RecordEpisodeStatistics(Counter(*how)) for how in COUNTERS]
    return vectors.TransformReward(SyncVectorEnv(makers, autoreset_mode=mode), halved)


def returns(env):
    model = small_model(env, n_steps=24).learn(48)
    return {(episode["r"], episode["l"]) for episode in model.ep_info_buffer}


@table("mode", list(AutoresetMode))
@table("wrapped", [around_each, between])
def test_wrappers_outside_the_statistics_do_not_change_the_return(wrapped, mode):
    assert returns(wrapped(mode)) == {(6, 3), (3, 2)}


class Recording(vectors.RecordEpisodeStatistics):
    """Gymnasium 1.4's wrapper, under all modes. With `forgets`, it misses an episode's first step,
    as older versions did.
    """

    forgets = False

    def __init__(self, env):
        super().__init__(env)
        self.totals, self.lengths = np.zeros(2), np.zeros(2, int)

    def step(self, actions):
        obs, rewards, terminated, truncated, infos = self.env.step(actions)
        self.totals += rewards
        self.lengths += 1
        done = terminated | truncated
        if done.any():
            lengths = self.lengths - self.forgets
            infos["episode"] = {"r": self.totals * done, "l": lengths * done}
            infos["_episode"] = done
            self.totals[done] = self.lengths[done] = 0
        return obs, rewards, terminated, truncated, infos


class Forgetting(Recording):
    forgets = True


def test_statistics_around_the_vector_environment_are_found():
    env = vectors.TransformReward(Recording(counters(AutoresetMode.SAME_STEP)), halved)
    assert returns(env) == {(6, 3), (3, 2)}


def test_statistics_that_miss_steps_are_not_used():
    env = vectors.TransformReward(Forgetting(counters(AutoresetMode.SAME_STEP)), halved)
    with pytest.warns(RuntimeWarning, match="put RecordEpisodeStatistics around each"):
        assert returns(env) == {(3, 3), (1.5, 2)}


def test_environments_may_reuse_their_info():
    """One dict for all environments and steps."""
    shared = {}

    class Reusing(Counter):
        def step(self, action):
            *answer, _ = super().step(action)
            shared.update(step=self.t, of=id(self))
            return *answer, shared

    seen = []

    def keep(locals_, globals_):
        seen.extend((info["step"], info["of"]) for info in locals_["infos"])

    model = small_model(Reusing, n_envs=3).learn(48, keep)
    made = [id(env.unwrapped) for env in model.get_env().vector_env.envs]
    assert [of for _, of in seen] == made * 16
    assert [step for step, of in seen if of == made[0]] == [1, 2, 3] * 5 + [1]
