"""Environments in Python: the same numbers compiled, interpreted and in C."""

from __future__ import annotations

import ctypes
import gc
import json
import math
import os
import pickle
import shutil
import sys
import threading
from math import expm1
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode
from helpers import CC, INCLUDE, build_library, same_state
from python_envs import ALL, cart, noise

pytest.importorskip("fasttrpo.core._envs", reason="this installation has no compiled environments")
pytest.importorskip("numba")

from vector_envs import play, same

from fasttrpo import TRPO, cli, evaluate_policy
from fasttrpo.envs import CompiledVectorEnv, NumbaEnvironment
from fasttrpo.envs.python import draws, elementary, randomness, struct

each_way = pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "interpreted"])
each_env = pytest.mark.parametrize("name", ALL)
each_mode = pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.value)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """One cache for the whole test run, separate from the user's."""
    monkeypatch.setenv("FASTTRPO_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "compiled"))


# -- the same numbers -----------------------------------------------------------------------------


@each_way
def test_a_cart_pole_in_python_equals_the_one_in_c(compiled):
    """From random states, and over complete episodes with resets."""
    n = 2_000 if compiled else 300
    ours, theirs = cart.make_vec(n, compiled=compiled), CompiledVectorEnv("CartPole-v1", n)
    states = np.random.default_rng(1).uniform(-1, 1, (n, 4)) * [2.5, 3, 0.22, 3]
    for env in (ours, theirs):
        env.reset(seed=4)
        env.states.view(np.float64)[:] = states
    assert np.array_equal(ours.observe(), theirs.observe())
    assert same(play(ours, 1), play(theirs, 1))
    ours.reset(seed=5), theirs.reset(seed=5)
    assert same(play(ours, 60), play(theirs, 60))
    np.testing.assert_allclose(ours.states.view(float), theirs.states.view(float), 1e-12, 1e-12)
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.reward_threshold == theirs.reward_threshold


def start_at_one(state):
    state[0] = 1.0


def difference(x):
    return expm1(x) - math.log1p(x)


def observe_functions(state, obs):
    x = state[0]
    obs[0], obs[1], obs[2], obs[3] = math.sin(x), math.cos(x), math.log(x), math.exp(x)
    obs[4], obs[5], obs[6] = math.pow(x, 3.3), difference(x), math.log(x, 2)


@each_way
def test_functions_of_math_are_those_of_environments_in_c(compiled):
    """Whose bits do not depend on the machine; in helpers and under other names, too."""
    n = 4_000 if compiled else 300
    spaces = {"observation_space": Box(-9, 9, (7,)), "action_space": Discrete(2)}
    env = NumbaEnvironment(
        name="Functions",
        state_size=1,
        reset=start_at_one,
        step=lambda state, action: (0, False),
        observe=observe_functions,
        **spaces,
    ).make_vec(n, compiled=compiled)
    x = np.random.default_rng(0).uniform(0.1, 2, n)
    env.reset(seed=0)
    env.states.view(np.float64)[:, 0] = x
    f = elementary.FUNCTIONS
    expected = [[f["sin"](a), f["cos"](a), f["log"](a), f["exp"](a), f["pow"](a, 3.3)] for a in x]
    env.observe()
    assert np.array_equal(env.envs_in_c.obs[:, :5], expected)
    assert np.array_equal(env.envs_in_c.obs[:, 5], [f["expm1"](a) - f["log1p"](a) for a in x])
    assert np.array_equal(env.envs_in_c.obs[:, 6], [f["log"](a) / f["log"](2) for a in x])
    plain = [[math.sin(a), math.cos(a), math.log(a), math.exp(a), math.pow(a, 3.3)] for a in x]
    assert np.allclose(expected, plain, 1e-15, 0)


@each_env
def test_compiled_and_interpreted_environments_are_identical(name):
    ways = [ALL[name].make_vec(5, compiled=way, max_episode_steps=20) for way in (True, False)]
    first = [env.reset(seed=3)[0] for env in ways]
    assert np.array_equal(*first)
    assert same(*[play(env, 70) for env in ways])
    assert ways[0].save() == ways[1].save()


def walk_reset(state, random):
    state[0] = random.uniform(0, 1)
    state[1] = 0


def walk_step(state, action):
    state[0] += 0.1 * (action[0] - state[0])
    state[1] += 1
    return -(state[0] ** 2), state[0] < -2


def walk_observe(state, obs):
    obs[0] = state[0]


def cut_walk_step(state, action):
    """Cuts the episode at step 7, unless it terminates there."""
    reward, terminated = walk_step(state, action)
    return reward, terminated, state[1] == 7


def both_walk_step(state, action):
    return 0.0, True, True


def walk(step, **keywords):
    spaces = {"observation_space": Box(-9, 9, (1,)), "action_space": Box(-1, 1, (1,))}
    functions = {"reset": walk_reset, "step": step, "observe": walk_observe}
    return NumbaEnvironment(name="Walk", state_size=2, **spaces, **functions, **keywords)


@each_way
def test_a_step_may_cut_its_episode_as_the_limit_does(compiled):
    cut, limited, both = (
        env.make_vec(3, compiled=compiled)
        for env in (walk(cut_walk_step), walk(walk_step, max_episode_steps=7), walk(both_walk_step))
    )
    cut.reset(seed=1), limited.reset(seed=1), both.reset(seed=1)
    assert same(play(cut, 30), play(limited, 30))
    assert any(truncated.any() for *_, truncated, _ in play(cut, 7))
    *_, terminated, truncated, _ = both.step(np.zeros((3, 1), np.float32))
    assert terminated.all()
    assert not truncated.any()
    models = [TRPO("MlpPolicy", env, n_steps=20, seed=0).learn(120) for env in (cut, limited)]
    assert same_state(*models)


def test_random_numbers_follow_the_c_header():
    """normal and integers, computed from the words that the C header documents."""
    words = np.array([2**40 + 7, 2**33 + 5, 3], np.uint64)
    block = draws.philox(*np.uint64([5, 3, 2, 6, 7, 2**8]))
    u, v = ((int(a) << 32 | int(b)) >> 11 for a, b in (block[:2], block[2:]))
    stream = draws.Random(words)
    expected = 2 + 3 * np.sqrt(-2 * np.log((u + 1) / 2**53)) * np.cos(2 * np.pi * v / 2**53)
    np.testing.assert_allclose(stream.normal(2, 3), expected, 1e-14)
    assert words[1] == 2**33 + 6
    words[1] -= np.uint64(1)
    assert stream.integers(-5, 9) == -5 + int(14 * (u / 2**53))


NORMAL_IN_C = """
#include "trpo_env.h"

static int reset(const void *config, void *state, double *obs, trpo_env_random *random)
{
    obs[0] = trpo_env_normal(random, 0, 1);
    obs[1] = trpo_env_uniform(random, -2, 3);
    return 0;
}

static int step(const void *config, void *state, const double *act, double *obs, double *rew,
                uint8_t *term, trpo_env_random *random)
{
    return 1;
}

static const int CHOICES[] = {2};
static const trpo_env ENV = {TRPO_ENV_VERSION, sizeof(trpo_env), "Draws", 1, 2, 0, 0, 1, CHOICES,
                             0, 0, 0, 0, 0, 0, 0, reset, step, 0, 0};

const trpo_env *trpo_environment(void) { return &ENV; }
"""


def test_normal_numbers_equal_those_of_the_c_header():
    if shutil.which(CC) is None or not INCLUDE.exists():
        pytest.skip("no C compiler, or no header beside the tests")
    Path("draws.c").write_text(NORMAL_IN_C)
    build_library(Path("draws.c"), Path("draws.so"))

    def reset(state, random):
        state[0] = random.normal()
        state[1] = random.uniform(-2, 3)

    def never_ends(state, action):
        return 0.0, False

    space = {"observation_space": gymnasium.spaces.Box(-9, 9, (2,), np.float64)}
    spec = {"name": "Draws", "state_size": 2, "action_space": gymnasium.spaces.Discrete(2)}
    ours = NumbaEnvironment(**spec, **space, reset=reset, step=never_ends).make_vec(50)
    expected, _ = CompiledVectorEnv("./draws.so", 50).reset(seed=2**40 + 1)
    np.testing.assert_allclose(ours.reset(seed=2**40 + 1)[0], expected, 1e-14, 1e-15)


def test_random_numbers_have_the_right_distribution():
    env = noise.make_vec(40_000)
    env.reset(seed=0)
    normal, integer, _ = env.states.view(np.float64).T
    np.testing.assert_allclose([normal.mean(), normal.std()], [0, 1], atol=0.02)
    values, counts = np.unique(integer, return_counts=True)
    assert list(values) == [-3, -2, -1, 0, 1, 2, 3]
    assert np.abs(counts / len(integer) - 1 / 7).max() < 0.01


@each_way
def test_options_change_the_environment(compiled):
    usual, heavy = (cart.make_vec(3, compiled=compiled, **o) for o in ({}, {"force": 20}))
    assert (usual.envs_in_c.options, heavy.envs_in_c.options) == ({"force": 10}, {"force": 20})
    usual.reset(seed=0), heavy.reset(seed=0)
    assert not same(play(usual, 3), play(heavy, 3))
    with pytest.raises(TypeError, match="did you mean 'force'"):
        cart.make_vec(3, compiled=compiled, farce=1)


@each_way
def test_the_state_is_zero_when_an_episode_starts(compiled):
    env = noise.make_vec(4, compiled=compiled, max_episode_steps=3)
    env.reset(seed=0)
    for _ in range(9):
        _, _, term, trunc, _ = env.step(env.action_space.sample())
        steps = env.states.view(np.float64)[:, 2]
        assert (steps[term | trunc] == 0).all()
        assert (steps < 3).all()


# -- the vector environment interface -------------------------------------------------------------


@each_mode
@each_env
def test_it_behaves_as_a_vector_env(name, mode):
    """What Gymnasium's tests of its vector environments check."""
    env = ALL[name].make_vec(5, autoreset_mode=mode)
    assert isinstance(env, gymnasium.vector.VectorEnv)
    assert env.metadata["autoreset_mode"] is mode
    obs, infos = env.reset(seed=1)
    assert infos == {}
    assert env.observation_space.contains(obs)
    assert env.single_observation_space == ALL[name].observation_space
    assert env.single_action_space == ALL[name].action_space
    for obs, rewards, term, trunc, _ in play(env, 50):
        assert env.observation_space.contains(obs)
        for array, dtype in ((rewards, np.float64), (term, np.bool_), (trunc, np.bool_)):
            assert (array.shape, array.dtype) == ((5,), dtype)
    env.close()
    with pytest.raises(gymnasium.error.ClosedEnvironmentError):
        env.reset()


def test_gymnasium_make_vec_creates_it():
    gymnasium.register("PythonCart-v0", vector_entry_point=cart.make_vec, max_episode_steps=9)
    try:
        env = gymnasium.make_vec("PythonCart-v0", num_envs=3, force=11)
        assert isinstance(env, CompiledVectorEnv)
        assert (env.num_envs, env.envs_in_c.options["force"]) == (3, 11)
    finally:
        del gymnasium.registry["PythonCart-v0"]


@each_way
@each_env
def test_saved_environments_continue_bit_for_bit(name, compiled):
    env, other = (ALL[name].make_vec(3, compiled=compiled, max_episode_steps=9) for _ in "ab")
    env.reset(seed=0)
    play(env, 13)
    saved = env.save()
    answers = play(env, 40)
    other.load(saved)
    assert same(answers, play(other, 40))


@each_way
def test_states_can_be_written(compiled):
    env = noise.make_vec(2, compiled=compiled)
    env.states.view(np.float64)[:] = [[0, 1, 0], [1, -2, 0]]
    np.testing.assert_allclose(env.observe(), [[1, 0], [-2, np.tanh(1)]], 1e-15)


# -- lifetimes, threads, pickles -------------------------------------------------------------------


@each_way
def test_environments_outlive_their_definition(compiled):
    def reset(state):
        state[0] = 1

    def step(state, action):
        state[0] += action
        return state[0], False

    space = gymnasium.spaces.Box(-9, 9, (1,))
    short = {"name": "Short", "state_size": 1, "reset": reset, "step": step}
    env = NumbaEnvironment(
        **short, observation_space=space, action_space=gymnasium.spaces.Discrete(2)
    ).make_vec(2, compiled=compiled)
    del reset, step, short
    gc.collect()
    rubbish = [bytearray(500) for _ in range(10_000)]
    env.reset()
    for _ in range(3):
        _, rewards, *_ = env.step(np.array([0, 1]))
    assert list(rewards) == [1, 4]
    capsule = env.envs_in_c.capsule
    del env, rubbish
    gc.collect()
    assert "trpo_envs" in repr(capsule)


@each_way
def test_threads_share_one_compilation(compiled, monkeypatch):
    """Each thread gets the same numbers."""
    definition = pickle.loads(pickle.dumps(noise))
    results, compilations = [None] * 4, []
    check = randomness.check  # the first step of making one
    monkeypatch.setattr(randomness, "check", lambda *a: compilations.append(a) or check(*a))

    def run(i):
        env = definition.make_vec(70, compiled=compiled)
        env.reset(seed=1)
        results[i] = play(env, 10)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(results[0], each) for each in results[1:])
    assert len(compilations) == 1


def test_a_definition_can_be_pickled():
    cart.make_vec(1)
    again = pickle.loads(pickle.dumps(cart)).make_vec(2)
    again.reset(seed=0)
    other = cart.make_vec(2)
    other.reset(seed=0)
    assert same(play(again, 5), play(other, 5))


def test_the_struct_has_the_layout_of_the_c_header():
    """C rejects a struct of any other size, so equal sizes mean equal offsets."""
    assert cart.make_vec(1).envs_in_c.describe()["max_episode_steps"] == 500
    last = struct.Struct.load
    assert last.offset + last.size == ctypes.sizeof(struct.Struct)


# -- training -------------------------------------------------------------------------------------


def test_training_in_python_environments_learns():
    model = TRPO("MlpPolicy", cart, n_envs=8, n_steps=125, seed=0)
    model.learn(15_000)
    mean, _ = evaluate_policy(model, cart, 10, seed=1)
    assert model.get_env().num_envs == 8
    assert mean > 300


def test_training_equals_training_in_c():
    kwargs = {"n_envs": 4, "n_steps": 32, "seed": 0, "policy_kwargs": {"net_arch": [8]}}
    a, b = (TRPO("MlpPolicy", env, **kwargs).learn(256) for env in (cart, "CartPole-v1"))
    ours, theirs = a.snapshot().state, b.snapshot().state
    assert all(np.array_equal(ours[key], theirs[key], equal_nan=True) for key in ours)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode there")
def test_a_file_with_a_non_utf8_name_loads(tmp_path):
    """Numba cannot import a module of such a name."""
    path = tmp_path / os.fsdecode(b"caf\xe9.py")
    shutil.copy(Path(__file__).with_name("python_envs.py"), path)
    CompiledVectorEnv(f"{path}:cart", 2).close()


def test_the_command_line_trains_and_evaluates_a_file(capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    shutil.copy(Path(__file__).with_name("python_envs.py"), "carts.py")
    short = ["--total-timesteps", "64", "--n-steps", "8", "--no-progress"]
    assert cli.main(["train", "carts.py:cart", *short]) == 0
    folder = Path("runs/carts_cart-seed0")
    kept = json.loads((folder / "config.json").read_text())["env_id"]
    assert kept == f"{Path('carts.py').resolve()}:cart"
    assert cli.main(["eval", str(folder), "--episodes", "2", "--no-progress"]) == 0
    assert "fasttrpo's implementation" not in capsys.readouterr().out
    assert cli.main(["train", "carts.py:kart", *short]) == 2
    assert "did you mean 'cart'" in capsys.readouterr().err
    assert cli.main(["train", "no.py:cart", *short]) == 2
    assert "there is no file 'no.py'" in capsys.readouterr().err
    assert cli.main(["train", "carts.py", *short]) == 2
    assert "carts.py:NAME" in capsys.readouterr().err
    del sys.modules["carts"]


def test_a_gymnasium_class_in_a_file_gets_a_hint(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("own_env.py").write_text("from gymnasium.envs.classic_control import CartPoleEnv as Own\n")
    assert cli.main(["train", "own_env.py:Own"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("fasttrpo: own_env.py: Own is not a NumbaEnvironment")
    assert err.endswith('gymnasium.register("Own-v0", "own_env:Own"), and use own_env:Own-v0\n')
    assert cli.main(["train", "own_env.py:own"]) == 2
    assert capsys.readouterr().err == "fasttrpo: own_env.py: there is no NumbaEnvironment\n"
    assert cli.main(["train", "own_env.py:Blackjack-v1"]) == 2  # an id that the file could register
    assert capsys.readouterr().err.endswith(
        "Blackjack-v1 is an id of Gymnasium; use own_env:Blackjack-v1\n"
    )
    del sys.modules["own_env"]
