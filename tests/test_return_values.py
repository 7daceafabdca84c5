"""Return values of environments are converted if unambiguous, else refused by name and remedy."""

from __future__ import annotations

import warnings
from fractions import Fraction

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import TimeLimit, TransformReward
from helpers import Counter, small_model
from tables import table
from vec_env import VecCartPole

from fasttrpo import TRPO
from fasttrpo.stream.in_turn import InTurn

ONE = np.zeros(1, np.float32)


class Returning(Counter):
    """A counter with replaced return values: single parts from the second step on, or all of
    `reset` or `step`.
    """

    def __init__(self, **replaced):
        super().__init__(4)
        self.replaced = replaced

    def reset(self, **keywords):
        answer = super().reset(**keywords)
        return self.replaced.get("reset", answer)

    def step(self, action):
        answer = super().step(action)
        if "step" in self.replaced:
            return self.replaced["step"]
        names = ("obs", "reward", "terminated", "truncated", "info")
        replaced = self.replaced if self.t > 1 else {}
        return tuple(replaced.get(name, part) for name, part in zip(names, answer, strict=True))


class OldReset(Counter):
    def reset(self):
        return super().reset()[0]


class WithoutOptions(Counter):
    def reset(self, seed=None):
        return super().reset(seed=seed)


class OldStep(Counter):
    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, reward, terminated or truncated, info


OLD_STEP = (
    r"returned a tuple of 4 from step, expected \(observation, reward, .*instead of Gym's done"
)
OLD_SIGNATURE = r"reset .*{}: .*define it as reset\(self, \*, seed=None, options=None\)"
IN_WRAPPER = r"step must return \(observation, reward, .*expected 5, got 4.*its step"

COLLECTED = "what its environments returned .*: each must return obs"


@table(
    ("env", "message"),
    [
        (Returning(reset=ONE), r"returned an array of shape \(1,\) .*from reset, expected \(obs"),
        (Returning(reset=None), r"returned None from reset, expected .*return a tuple of both"),
        (Returning(reset=(ONE, None)), "returned None as info from reset, expected a dict: return"),
        (OldReset(), OLD_SIGNATURE.format("seed")),
        (WithoutOptions(), OLD_SIGNATURE.format("options")),
        (Returning(step=None), "returned None from step, expected .*return a tuple of these five"),
        (OldStep(), OLD_STEP),
        (TimeLimit(OldStep(), 9), IN_WRAPPER),
        (TransformReward(OldStep(), lambda reward: reward), IN_WRAPPER),
        (SyncVectorEnv([OldStep] * 2), IN_WRAPPER),
        (SyncVectorEnv([lambda: Returning(info=None)]), COLLECTED),
        (SyncVectorEnv([lambda: Returning(obs=np.ones(2))]), COLLECTED),
        (SyncVectorEnv([lambda: Returning(reward=np.ones(2))]), COLLECTED),
        (Returning(reward=None), r"returned None as reward from step, .*return float\(reward\)"),
        (Returning(reward="1"), r"returned '1' \(str\) as reward"),
        (Returning(reward=1j), r"returned 1j \(complex\) as reward"),
        (Returning(reward=np.ones(2)), r"an array of shape \(2,\) and dtype float64 as reward"),
        (Returning(reward=10**400), "as reward from step, expected a number"),
        (Returning(reward=np.nan), r"reward of environment 0 is not finite \(nan\) at step 1"),
        (Returning(terminated=None), r"None as terminated .*return bool\(terminated\)"),
        (Returning(truncated="no"), r"'no' \(str\) as truncated from step, expected True or False"),
        (Returning(terminated=2), r"2 \(int\) as terminated"),
        (Returning(terminated=np.zeros(2)), r"an array of shape \(2,\) .*as terminated"),
        (Returning(info=None), "returned None as info from step, expected a dict: return an empty"),
        (Returning(info=[]), "returned a list of 0 as info from step"),
        (Returning(reset=(np.ones(2), {})), r"shape \(2,\) .*observation_space has shape \(1,\)"),
        (Returning(obs=np.ones((1, 1))), r"observation that is an array of shape \(1, 1\)"),
        (Returning(obs=None), "returned an observation that is None, but observation_space has"),
        (
            Returning(obs=np.ones(1, complex)),
            "dtype complex128, but observation_space has .*float32",
        ),
        (Returning(obs=np.array(["a"])), "dtype <U1, but observation_space has"),
        (Returning(obs={"n": 1}), "of type dict, but observation_space has .*make the space match"),
        (Returning(obs=[[1], [1, 2]]), "a list of 2, but observation_space has"),
        (Returning(obs=np.full(1, np.nan)), "observation of environment 0 is not finite"),
    ],
    ids=str,
)
def test_wrong_return_values_are_named(env, message):
    model = small_model(env)
    before = model.get_parameters()["policy"]
    with pytest.raises(ValueError, match=message):
        model.learn(64)
    assert model.n_updates == model.num_timesteps == 0
    after = model.get_parameters()["policy"]
    assert all(np.array_equal(before[name], after[name]) for name in before)


@table(
    ("replaced", "total"),
    [
        ({"reward": np.array([2.5])}, 1 + 3 * 2.5),
        ({"reward": np.array([[2.5]], np.float32)}, 1 + 3 * 2.5),
        ({"reward": np.float16(2.5)}, 1 + 3 * 2.5),
        ({"reward": [2.5]}, 1 + 3 * 2.5),
        ({"reward": Fraction(5, 2)}, 1 + 3 * 2.5),
        ({"reward": True}, 1 + 3),
        ({"terminated": 1}, 1 + 2),
        ({"terminated": np.array([True])}, 1 + 2),
        ({"truncated": np.float32(1)}, 1 + 2),
        ({"obs": [7]}, 10),
        ({"obs": np.array([7], np.float64)}, 10),
        ({"obs": np.array([7], np.int8)}, 10),
    ],
    ids=str,
)
def test_equivalent_return_values_are_converted(replaced, total):
    model = small_model(Returning(**replaced)).learn(16)
    assert {episode["r"] for episode in model.ep_info_buffer} == {total}


@pytest.mark.parametrize("last", [None, np.full(1, np.nan)], ids=str)
def test_the_observation_after_a_termination_is_not_needed(last):
    class Ending(Counter):
        def step(self, action):
            obs, reward, terminated, *rest = super().step(action)
            return last if terminated else obs, reward, terminated, *rest

    model, usual = (small_model(env).learn(16) for env in (Ending(), Counter()))
    assert model.ep_info_buffer
    np.testing.assert_array_equal(model.theta, usual.theta)


def test_errors_name_the_environment_at_fault():
    env = InTurn([Returning, lambda: Returning(info=None)])
    with pytest.raises(ValueError, match=r"^environment 1 returned None as info"):
        small_model(env).learn(64)


# -- spaces ----------------------------------------------------------------------------------------


class PartsEnv(Counter):
    """Its observation is the constructor's argument."""

    observation_space = spaces.Dict(
        a=spaces.Box(-1, 1, (2,)), b=spaces.Tuple([spaces.Discrete(3), spaces.MultiBinary(2)])
    )

    def __init__(self, obs):
        super().__init__()
        self.given = obs

    def observe(self):
        return self.given


A, B = np.zeros(2, np.float32), (1, np.ones(2, np.int8))


@table(
    ("obs", "message"),
    [
        ({"a": A}, r"observation without \['b'\]: it has the keys \['a'\], .*return all of these"),
        ((A, B), r"a tuple of 2, but observation_space has a dict with the keys \['a', 'b'\]"),
        ({"a": A, "b": (1,)}, r"observation\['b'\] that is a tuple of 1, .* has a tuple of 2"),
        ({"a": A[:1], "b": B}, r"observation\['a'\] that is an array of shape \(1,\)"),
        ({"a": A, "b": (1.5, B[1])}, r"observation\['b'\]\[0\] with 1\.5 in it, but .*dtype int64"),
        ({"a": A, "b": (np.ones(1), B[1])}, r"observation\['b'\]\[0\] that is .*shape \(1,\)"),
        (
            {"a": A, "b": (1, np.array([1, 300]))},
            r"\[1\] with 300 in it, but .* int8, which cannot",
        ),
        ({"a": A, "b": (7, B[1])}, r"observation\['b'\]\[0\] 7 of row 0 is not an integer from 0"),
    ],
    ids=str,
)
def test_wrong_parts_of_an_observation_are_named(obs, message):
    with pytest.raises(ValueError, match=message):
        small_model(PartsEnv(obs)).learn(16)


def test_parts_missing_from_the_space_warn_once():
    with pytest.warns(
        UserWarning, match=r"observation has \['more'\], which .*space lacks"
    ) as warned:
        small_model(PartsEnv({"a": A, "b": B, "more": 1})).learn(32)
    assert sum("lacks" in str(each.message) for each in warned) == 1


class WithoutSpace(Counter):
    observation_space = None


class Foreign:
    """Has an environment's methods, but is not a `gymnasium.Env`."""

    def reset(self):
        return ONE

    def step(self, action):
        return ONE, 0.0, False, {}


@table(
    ("env", "message"),
    [
        (
            WithoutSpace(),
            r"WithoutSpace\.observation_space is None, expected a space of gymnasium",
        ),
        (lambda: Counter, r"<lambda> returned the class Counter itself: return Counter\(\)"),
        (lambda: [Counter()], "<lambda> returned a list of 1; a class or function"),
        (int, r"int returned 0 \(int\); a class or function that is passed as env must return"),
        ([Counter()], r"got a list of 1: .*gymnasium\.vector\.SyncVectorEnv"),
        (Foreign(), r"got Foreign, which is not derived from gymnasium\.Env: derive it"),
        (3, "got int"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_errors_for_other_objects_say_what_to_pass(env, message):
    with pytest.raises(TypeError, match=message):
        TRPO("MlpPolicy", env)


# -- vector environments ---------------------------------------------------------------------------


class Vector(VectorEnv):
    """Two identical environments, with some return values replaced."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 - as in Gymnasium
    num_envs = 2
    single_observation_space = Counter.observation_space
    single_action_space = Counter.action_space

    def __init__(self, **replaced):
        self.replaced = replaced

    def reset(self, *, seed=None, options=None):
        return self.replaced.get("reset", (np.zeros((2, 1)), {}))

    def step(self, actions):
        no = np.zeros(2, bool)
        names = ("obs", "reward", "terminated", "truncated", "infos")
        parts = zip(names, (np.zeros((2, 1)), np.ones(2), no, no, {}), strict=True)
        return self.replaced.get("step", tuple(self.replaced.get(*part) for part in parts))


@table(
    ("replaced", "message"),
    [
        (
            {"reset": np.zeros((2, 1))},
            r"vector environment returned .*expected \(observation, infos",
        ),
        ({"reset": (np.zeros((2, 1)), None)}, "returned infos of type NoneType, expected a dict"),
        ({"step": (1, 2, 3, 4)}, "vector environment returned a tuple of 4 from step.*Gym's done"),
        ({"step": None}, "vector environment returned None from step"),
        ({"infos": [{}]}, "infos of type list, expected a dict, or a list of 2 dicts"),
        ({"infos": [{}, None]}, "infos of type list, expected a dict, or a list of 2 dicts"),
        ({"reward": None}, r"reward has shape \(\) and dtype object, expected 2 numbers"),
        ({"reward": [1, [2, 3]]}, "reward has shape .*dtype object, expected 2 numbers"),
        ({"terminated": [None, False]}, "terminated has shape .*dtype object, expected 2"),
        ({"terminated": np.array([0.0, np.nan])}, "terminated is nan in environment 1, expected T"),
        (
            {"truncated": np.array([2, 0])},
            "truncated is 2 in environment 0, expected True or False",
        ),
    ],
    ids=str,
)
def test_wrong_return_values_of_vector_environments_are_named(replaced, message):
    with pytest.raises(ValueError, match=message):
        small_model(Vector(**replaced)).learn(16)


def test_column_rewards_and_numeric_flags_are_converted():
    replaced = {"reward": np.full((2, 1), 3), "terminated": [0, 1]}
    model = small_model(Vector(**replaced)).learn(16)
    assert {episode["r"] for episode in model.ep_info_buffer} == {3.0}


class VecOfFive(VecCartPole):
    """A `VecEnv` whose step returns Gymnasium's five values."""

    def step_wait(self):
        obs, rewards, dones, infos = super().step_wait()
        return obs, rewards, dones, dones, infos


def test_wrong_return_values_of_a_vec_env_are_named():
    message = r"VecEnv's step must return \(observations, rewards, dones, infos\)"
    with pytest.raises(ValueError, match=message):
        small_model(VecOfFive(2)).learn(16)


class Unpacking(Counter):
    """Has a bug in its own step."""

    def step(self, action):
        _, _ = (1, 2, 3)


def test_errors_raised_inside_an_environment_are_not_rewritten():
    with pytest.raises(ValueError, match="too many values to unpack") as error:
        small_model(Unpacking()).learn(16)
    assert error.value.__cause__ is None


# -- ids -------------------------------------------------------------------------------------------


@pytest.fixture
def registered():
    """A function that registers an entry point for the test and returns its id."""
    ids = []

    def register(**entry_points):
        ids.append(f"Registered{len(ids)}-v0")
        gymnasium.register(ids[-1], **entry_points)
        return ids[-1]

    yield register
    for env_id in ids:
        del gymnasium.registry[env_id]


def test_an_id_with_only_a_vector_entry_point_trains(registered):
    def entry(num_envs=1, **_):
        return SyncVectorEnv([lambda: Counter(4)] * num_envs)

    model = small_model(registered(vector_entry_point=entry)).learn(160)
    assert model.get_env().num_envs == 4
    assert {episode["r"] for episode in model.ep_info_buffer} == {10}


def test_an_old_step_of_a_registered_environment_is_named(registered):
    env_id = registered(entry_point=OldStep, max_episode_steps=9, disable_env_checker=True)
    with pytest.raises(ValueError, match=IN_WRAPPER):
        small_model(env_id).learn(16)


def test_correct_return_values_do_not_warn(registered):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small_model(registered(entry_point=Counter)).learn(64)
