"""MuJoCo tasks as ours and as Gymnasium's `SyncVectorEnv`, and comparisons of the two."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

pytest.importorskip("mujoco", reason="MuJoCo is not installed: pip install '.[mujoco]'")
pytest.importorskip("mujoco.batch", reason="MuJoCo is older than 3.17: no mujoco.batch")

from fasttrpo.envs import mujoco

MODES = list(AutoresetMode)
TOLERANCE = 1e-9


def ours(env_id, num_envs=2, mode=AutoresetMode.SAME_STEP, n_threads=1, **kwargs):
    return mujoco.make(env_id, num_envs, autoreset_mode=mode, n_threads=n_threads, **kwargs)


def its(env_id, num_envs=2, mode=AutoresetMode.SAME_STEP, **kwargs):
    return gymnasium.make_vec(
        env_id,
        num_envs=num_envs,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
        **kwargs,
    )


# With NumPy 1, Gymnasium's costs (a float32 times a Python float) have another dtype.
IS_NUMPY_1 = np.lib.NumpyVersion(np.__version__) < "2.0.0"


def actions_for(env, n_steps, seed=1, scale=1.0):
    """(T, E, A), uniform within the bounds: float32, or float64 with NumPy 1."""
    space = env.action_space
    drawn = np.random.default_rng(seed).uniform(space.low, space.high, (n_steps, *space.shape))
    return (scale * drawn).astype(np.float32).astype(np.float64 if IS_NUMPY_1 else np.float32)


def assert_same_infos(mine, other, where="infos"):
    """The same keys, types and shapes, and numbers within the tolerance."""
    assert mine.keys() == other.keys(), (where, mine.keys() ^ other.keys())
    for key, value in mine.items():
        path = f"{where}[{key!r}]"
        if isinstance(value, dict):
            assert_same_infos(value, other[key], path)
        elif value.dtype == object:
            for one, its_one in zip(value, other[key], strict=True):
                assert (one is None) == (its_one is None), path
                if one is not None:
                    np.testing.assert_allclose(one, its_one, rtol=0, atol=TOLERANCE)
        else:
            assert (value.dtype, value.shape) == (other[key].dtype, other[key].shape), path
            np.testing.assert_allclose(value, other[key], rtol=1e-12, atol=TOLERANCE, err_msg=path)


def assert_same_steps(mine, other, actions):
    """Steps both: observations and rewards within the tolerance, flags exactly.

    In DISABLED mode, ended episodes are reset in both. Returns the number of ended episodes.
    """
    ended = 0
    for t, act in enumerate(actions):
        obs, rewards, terminated, truncated, infos = mine.step(act)
        obs2, rewards2, terminated2, truncated2, infos2 = other.step(act)
        np.testing.assert_array_equal(terminated, terminated2, err_msg=f"terminated at step {t}")
        np.testing.assert_array_equal(truncated, truncated2, err_msg=f"truncated at step {t}")
        np.testing.assert_allclose(obs, obs2, rtol=0, atol=TOLERANCE, err_msg=f"obs at step {t}")
        np.testing.assert_allclose(rewards, rewards2, rtol=0, atol=TOLERANCE, err_msg=f"{t}")
        assert (obs.dtype, rewards.dtype) == (obs2.dtype, rewards2.dtype)
        assert (terminated.dtype, truncated.dtype) == (bool, bool)
        assert_same_infos(infos, infos2, f"infos at step {t}")
        done = terminated | truncated
        ended += np.count_nonzero(done)
        if mine.metadata["autoreset_mode"] is AutoresetMode.DISABLED and done.any():
            assert_same_resets(mine, other, options=lambda done=done: {"reset_mask": done.copy()})
    return ended


def assert_same_resets(mine, other, seed=None, options=lambda: None):
    obs, infos = mine.reset(seed=seed, options=options())
    obs2, infos2 = other.reset(seed=seed, options=options())
    np.testing.assert_allclose(obs, obs2, rtol=0, atol=TOLERANCE)
    assert_same_infos(infos, infos2)


def run(env, actions, seed=0, each=None):
    """Every array returned by reset and steps, with final observations, for bitwise comparison."""
    result = [env.reset(seed=seed)[0]]
    for t, act in enumerate(actions):
        *arrays, infos = env.step(act)
        result += [*arrays, *(infos[key] for key in sorted(infos) if "final" not in key)]
        result += [x for x in infos.get("final_obs", ()) if x is not None]
        if each is not None:
            each(t)
    return result


def assert_same_bits(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
