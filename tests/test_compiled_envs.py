"""`CompiledVectorEnv` as a Gymnasium `VectorEnv`: conventions, resets, seeds, saving, errors."""

from __future__ import annotations

import copy
import gc
import weakref

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import vector as wrappers
from tables import table

pytest.importorskip("fasttrpo.core._envs", reason="this installation has no compiled environments")

from vector_envs import play, same

import fasttrpo.envs
from fasttrpo.envs import CompiledVectorEnv
from fasttrpo.envs.classic import IDS

MODES = list(AutoresetMode)
each_env = pytest.mark.parametrize("env_id", IDS)
each_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)


# -- Gymnasium's conventions -----------------------------------------------------------------------


@each_mode
@each_env
def test_it_follows_the_vector_env_interface(env_id, mode):
    """The checks of Gymnasium's tests of vector environments."""
    fasttrpo.envs.register()
    env = gymnasium.make_vec(f"fasttrpo/{env_id}", num_envs=5, autoreset_mode=mode)
    assert isinstance(env, gymnasium.vector.VectorEnv)
    assert env.metadata["autoreset_mode"] is mode
    assert env.spec.id == f"fasttrpo/{env_id}"
    assert env.num_envs == 5
    obs, infos = env.reset(seed=1)
    assert env.np_random_seed == 1
    assert env.observation_space.contains(obs)
    assert infos == {}
    for obs, rewards, term, trunc, infos in play(env, 300):
        assert env.observation_space.contains(obs)
        for array, dtype in ((rewards, np.float64), (term, np.bool_), (trunc, np.bool_)):
            assert isinstance(array, np.ndarray)
            assert array.shape == (5,)
            assert array.dtype == dtype
        assert isinstance(infos, dict)
    env.close()
    env.close()
    assert env.closed
    with pytest.raises(gymnasium.error.ClosedEnvironmentError):
        env.reset()
    with pytest.raises(gymnasium.error.ClosedEnvironmentError):
        env.step(env.action_space.sample())


@each_env
def test_returned_arrays_are_not_overwritten(env_id):
    env = CompiledVectorEnv(env_id, 3, max_episode_steps=2)
    first, _ = env.reset(seed=0)
    kept = copy.deepcopy(first)
    answers = play(env, 2)
    copies = copy.deepcopy(answers)
    play(env, 5)
    assert np.array_equal(first, kept)
    assert same(answers, copies)
    for mine, other in zip(answers[1][4]["final_obs"], copies[1][4]["final_obs"], strict=True):
        assert np.array_equal(mine, other)


def test_gymnasium_wrappers_work():
    env = wrappers.RecordEpisodeStatistics(CompiledVectorEnv("CartPole-v1", 4))
    env = wrappers.ClipReward(env, 0, 0.5)
    env.reset(seed=0)
    ends = [infos for *_, infos in play(env, 100) if "episode" in infos]
    assert ends
    for infos in ends:
        ended = infos["_episode"]
        np.testing.assert_array_equal(infos["episode"]["r"][ended], infos["episode"]["l"][ended])


def test_make_vec_finds_registered_ids():
    fasttrpo.envs.register()
    fasttrpo.envs.register()  # no effect
    for name in ("fasttrpo/Pendulum-v1", "fasttrpo.envs:fasttrpo/Pendulum-v1"):
        env = gymnasium.make_vec(name, num_envs=2, g=3.0, max_episode_steps=7)
        assert isinstance(env, CompiledVectorEnv)
        assert env.envs_in_c.options["g"] == 3.0
        assert env.max_episode_steps == 7
    single = gymnasium.make("fasttrpo/Pendulum-v1", render_mode="rgb_array").unwrapped
    assert type(single) is type(gymnasium.make("Pendulum-v1").unwrapped)


def test_native_returns_a_maker_for_known_ids():
    assert isinstance(fasttrpo.envs.native("CartPole-v1")(num_envs=2), CompiledVectorEnv)
    assert isinstance(fasttrpo.envs.native("fasttrpo/CartPole-v1")(2), CompiledVectorEnv)
    assert fasttrpo.envs.native("CartPole-v0") is None


def test_native_leaves_ids_registered_by_the_user_alone(monkeypatch):
    spec = copy.deepcopy(gymnasium.spec("CartPole-v1"))
    spec.entry_point = "mine:Cart"
    monkeypatch.setitem(gymnasium.registry, "CartPole-v1", spec)
    assert fasttrpo.envs.native("CartPole-v1") is None


# -- autoreset -------------------------------------------------------------------------------------


def test_same_step_autoreset():
    env = CompiledVectorEnv("MountainCar-v0", 2, max_episode_steps=3)
    env.reset(seed=0)
    answers = play(env, 4)
    assert [a[3].all() for a in answers] == [False, False, True, False]
    obs, _, _, _, infos = answers[2]
    assert (obs[:, 1] == 0).all()  # reset: at rest
    assert (np.stack(infos["final_obs"])[:, 1] != 0).all()
    assert answers[1][4] == answers[3][4] == {}


def test_next_step_autoreset():
    env = CompiledVectorEnv("MountainCar-v0", 2, max_episode_steps=3, autoreset_mode="NextStep")
    env.reset(seed=0)
    answers = play(env, 5)
    assert [a[3].all() for a in answers] == [False, False, True, False, False]
    assert (answers[2][0][:, 1] != 0).all()
    assert (answers[3][0][:, 1] == 0).all()
    assert [a[1][0] for a in answers] == [-1, -1, -1, 0, -1]
    assert not any(a[4] for a in answers)


def test_disabled_autoreset():
    env = CompiledVectorEnv("MountainCar-v0", 2, max_episode_steps=2, autoreset_mode="Disabled")
    env.reset(seed=0)
    still = np.ones(2, int)
    env.step(still)
    _, _, _, trunc, _ = env.step(still)
    assert trunc.all()
    with pytest.raises(RuntimeError, match="environment 0: no episode"):
        env.step(still)
    before = env.envs_in_c.obs.copy()
    obs, _ = env.reset(options={"reset_mask": np.array([False, True])})
    assert obs[1, 1] == 0
    assert np.array_equal(obs[0], before[0].astype(np.float32))
    with pytest.raises(RuntimeError, match="environment 0"):
        env.step(still)


@table(
    ("mask", "error"),
    [
        ([True, False], TypeError),
        (np.ones(2), TypeError),
        (np.ones(3, bool), ValueError),
        (np.zeros(2, bool), ValueError),
    ],
)
def test_invalid_reset_masks_are_refused(mask, error):
    env = CompiledVectorEnv("CartPole-v1", 2, autoreset_mode="Disabled")
    with pytest.raises(error, match="reset_mask"):
        env.reset(options={"reset_mask": mask})


# -- randomness ------------------------------------------------------------------------------------


@each_env
def test_a_seed_repeats_everything(env_id):
    a, b = (CompiledVectorEnv(env_id, 3, max_episode_steps=9) for _ in range(2))
    assert np.array_equal(a.reset(seed=4)[0], b.reset(seed=4)[0])
    answers = play(a, 50)
    assert same(answers, play(b, 50))
    a.reset(seed=4)
    assert same(answers, play(a, 50))
    a.reset(seed=5)
    assert not same(answers, play(a, 50))


@each_env
def test_an_environment_does_not_depend_on_num_envs(env_id):
    few, many = (CompiledVectorEnv(env_id, n, max_episode_steps=9) for n in (2, 70))
    few.reset(seed=4), many.reset(seed=4)
    for _ in range(40):
        action = many.action_space.sample()
        a, b = few.step(action[:2]), many.step(action)
        assert same([a], [[x[:2] for x in b[:4]]])


def test_a_list_of_seeds_has_one_per_environment():
    env = CompiledVectorEnv("CartPole-v1", 3)
    obs, _ = env.reset(seed=[7, 8, 7])
    assert np.array_equal(obs[0], obs[2])
    assert not np.array_equal(obs[0], obs[1])
    assert np.array_equal(CompiledVectorEnv("CartPole-v1").reset(seed=7)[0][0], obs[0])
    again, _ = env.reset(seed=[7, None, None])
    assert np.array_equal(again[0], obs[0])
    assert not np.array_equal(again[2], obs[2])


def test_a_seed_with_a_mask_applies_where_the_mask_is_true():
    env = CompiledVectorEnv("CartPole-v1", 2)
    first, _ = env.reset(seed=3)
    obs, _ = env.reset(seed=3, options={"reset_mask": np.array([True, False])})
    assert np.array_equal(obs, first)
    obs, _ = env.reset()
    assert not np.array_equal(obs, first)


@pytest.mark.parametrize("seed", [None, 4])
def test_environments_differ_from_each_other(seed):
    obs, _ = CompiledVectorEnv("CartPole-v1", 50).reset(seed=seed)
    assert len(np.unique(obs)) == obs.size


def test_unseeded_resets_are_random():
    a, b = (CompiledVectorEnv("CartPole-v1").reset()[0] for _ in range(2))
    assert not np.array_equal(a, b)


@table("seed", [-1, 2**64, [1, -1], [1], [1, 2, 3], [1.5, 2]])
def test_invalid_seeds_are_refused(seed):
    with pytest.raises((ValueError, gymnasium.error.Error), match=r"(?i)seed"):
        CompiledVectorEnv("CartPole-v1", 2).reset(seed=seed)


# -- saving, states, memory ------------------------------------------------------------------------


@each_env
def test_loaded_environments_continue_bit_for_bit(env_id):
    env = CompiledVectorEnv(env_id, 3, max_episode_steps=9)
    env.reset(seed=0)
    play(env, 13)
    saved = env.save()
    answers = play(env, 40)
    other = CompiledVectorEnv(env_id, 3, max_episode_steps=9)
    other.load(saved)
    assert same(answers, play(other, 40))
    assert env.save() == other.save()


def test_loading_other_bytes_is_refused_and_changes_nothing():
    env, other = CompiledVectorEnv("CartPole-v1", 3), CompiledVectorEnv("CartPole-v1", 2)
    env.reset(seed=0), other.reset(seed=0)
    good = env.save()
    damaged = bytearray(good)
    damaged[len(good) // 2] ^= 1
    for bad in (b"", good[:-1], bytes(damaged), other.save()):
        with pytest.raises(ValueError, match="CartPole-v1 with 3 environments"):
            env.load(bad)
    assert env.save() == good


def test_states_is_a_view_of_the_memory_of_the_simulation():
    env = CompiledVectorEnv("Pendulum-v1", 2)
    env.reset(seed=0)
    env.states.view(np.float64)[1] = (0, 2)
    obs = env.observe()
    np.testing.assert_array_equal(obs[1], np.float32([1, 0, 2]))


def test_views_and_capsules_outlive_their_environments():
    env = CompiledVectorEnv("CartPole-v1", 1000)
    obs, _ = env.reset(seed=0)
    view, states, capsule = env.envs_in_c.obs, env.states, env.envs_in_c.capsule
    assert "trpo_envs" in repr(capsule)
    del env
    gc.collect()
    overwrite = [np.ones(100_000) for _ in range(20)]
    assert np.array_equal(view.astype(np.float32), obs)
    assert states.any()
    del capsule, overwrite


def test_environments_in_a_cycle_are_collected():
    """As in an exception's traceback. Large, so that freed memory is unmapped."""
    env = CompiledVectorEnv("CartPole-v1", 200_000)
    env.reset(seed=0)
    ring = [env.envs_in_c, env]
    ring.append(ring)
    gone = weakref.ref(env)
    del env, ring
    gc.collect()
    assert gone() is None


def test_steps_equals_repeated_step():
    actions = np.random.default_rng(0).integers(0, 2, (80, 70))
    one, many = (CompiledVectorEnv("CartPole-v1", 70) for _ in range(2))
    one.reset(seed=1), many.reset(seed=1)
    for action in actions:
        one.step(action)
    many.envs_in_c.steps(actions[..., None], 1)
    assert one.save() == many.save()


# -- errors ----------------------------------------------------------------------------------------


@table(
    ("keywords", "error", "words"),
    [
        ({"env": "CartPol-v1"}, ValueError, "did you mean 'CartPole-v1'"),
        ({"num_envs": 0}, ValueError, "num_envs must be"),
        ({"num_envs": 2.5}, ValueError, "num_envs must be"),
        ({"autoreset_mode": "never"}, ValueError, "never"),
        ({"max_episode_steps": -1}, ValueError, "max_episode_steps must be"),
        ({"render_mode": "human"}, ValueError, "do not render"),
        ({"sutton_barto": 1}, TypeError, "did you mean 'sutton_barto_reward'"),
        ({"sutton_barto_reward": "yes"}, ValueError, "must be a number, got 'yes'"),
        ({"sutton_barto_reward": float("nan")}, ValueError, "must be finite"),
    ],
)
def test_invalid_constructor_arguments_are_refused(keywords, error, words):
    with pytest.raises(error, match=words):
        CompiledVectorEnv(**{"env": "CartPole-v1", **keywords})


@table(
    ("env_id", "actions", "error", "words"),
    [
        ("CartPole-v1", [0, 2], ValueError, r"action .*: 2 .* for environment 1"),
        ("CartPole-v1", [-1, 0], ValueError, "-1 .* environment 0"),
        ("CartPole-v1", [0.5, 0], ValueError, "0.5 .* environment 0"),
        ("CartPole-v1", [0], ValueError, r"shape \(1,\), not \(2,\)"),
        ("CartPole-v1", ["a", "b"], TypeError, "must be numbers"),
        ("Pendulum-v1", [[0], [np.nan]], ValueError, "not finite.*nan .* environment 1"),
        ("Pendulum-v1", [0, 0], ValueError, r"shape \(2,\), not \(2, 1\)"),
    ],
)
def test_invalid_actions_are_refused(env_id, actions, error, words):
    """Environments before the one with the invalid action have stepped; the others have not."""
    env = CompiledVectorEnv(env_id, 2)
    env.reset(seed=0)
    before = env.states.copy()
    with pytest.raises(error, match=words):
        env.step(actions)
    assert np.array_equal(env.states[0], before[0]) == ("environment 1" not in words)
    assert np.array_equal(env.states[1], before[1])
    env.step(env.action_space.sample())


def test_actions_out_of_bounds_cost_as_much_as_clipped_ones():
    env = CompiledVectorEnv("MountainCarContinuous-v0", 2)
    env.reset(seed=0)
    np.testing.assert_allclose(env.step(np.array([[3.0], [-1.0]]))[1], [-0.1, -0.1])


def test_stepping_before_a_reset_is_refused():
    with pytest.raises(RuntimeError, match="reset first"):
        CompiledVectorEnv("CartPole-v1").step(np.zeros(1, int))
