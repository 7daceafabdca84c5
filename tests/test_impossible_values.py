"""Loading refuses numbers that saving can never have written."""

from __future__ import annotations

import numpy as np
import pytest
from agents import bits, rollout_settings, shaken
from helpers import insides, small_model
from tables import table

from fasttrpo.envs.classic import has_extension
from fasttrpo.training.episodes import EpisodeStatistics

NORMALIZED = {"normalize_observations": True, "normalize_rewards": True}
IMPOSSIBLE = [
    *(("counters", i, value) for i in range(7) for value in (-1.0, 0.5, 2.0**53, 1e300)),
    *(("counters", i, 2.0**32) for i in range(2)),
    *((name, 0, value) for name in ("obs_count", "rew_count") for value in (-1.0, 0.5, 1e300)),
    *((name, 0, -1e-300) for name in ("obs_m2", "rew_m2", "adam_v")),
    *(("damping_scale", 0, value) for value in (0.0, 0.9e-7, 1.1e4, 1e300)),
]


def test_impossible_numbers_in_an_agent_state_are_refused(implementation):
    agent = shaken(implementation, rollout_settings(critic="adam", **NORMALIZED))
    good, before = agent.state(), bits(agent)
    for name, i, value in IMPOSSIBLE:
        bad = good[name].copy()
        bad[i] = value
        with pytest.raises(ValueError, match=name):
            agent.load_state(good | {name: bad})
    assert bits(agent) == before
    agent.load_state(good | {"counters": good["counters"] * 0 + 2.0**31})
    agent.predict(np.ones((2, agent.state()["obs_mean"].size)), False)


# ---- episodes ------------------------------------------------------------------------------------


def statistics():
    episodes = EpisodeStatistics(2)
    episodes.count = 3
    return episodes.state()


WINDOW = np.array([[0, 1.5, 20, np.nan], [1, -2, 7, 1]])
EPISODES = {
    "negative count": {"episode_count": np.array([-1])},
    "infinite count": {"episode_count": np.array([np.inf])},
    "count below the window's": {"episode_count": np.array([1])},
    "negative length": {"episode_lengths": np.array([3, -1])},
    "endless length": {"episode_lengths": np.array([3, 2**63 - 1])},
    "fractional length": {"episode_lengths": np.array([3, 0.5])},
    "total": {"episode_totals": np.array([0, np.nan])},
    "text": {"episode_totals": np.array(["a", "b"])},
    "environment": {"episode_window": WINDOW - [1, 0, 0, 0]},
    "length": {"episode_window": WINDOW * [1, 1, np.inf, 1]},
    "return": {"episode_window": WINDOW * [1, np.nan, 1, 1]},
    "success": {"episode_window": WINDOW * [1, 1, 1, 2]},
}


@table("what", EPISODES)
def test_impossible_episode_statistics_are_refused(what):
    good = statistics() | {"episode_window": WINDOW}
    loaded = EpisodeStatistics(2)
    loaded.load_state(good)
    assert [episode.length for episode in loaded.window] == [20, 7]
    before = loaded.state()
    with pytest.raises(ValueError):  # noqa: PT011 - many kinds
        loaded.load_state(good | EPISODES[what])
    np.testing.assert_equal(loaded.state(), before)


# ---- environments --------------------------------------------------------------------------------


def fnv(data):
    """FNV-1a, the checksum of saved environments."""
    value = 14695981039346656037
    for byte in data:
        value = (value ^ byte) * 1099511628211 % 2**64
    return value.to_bytes(8, "little")


@pytest.mark.skipif(not has_extension(), reason="there are no compiled environments")
def test_environments_with_an_endless_episode_are_refused():
    from fasttrpo.envs import CompiledVectorEnv

    env = CompiledVectorEnv("CartPole-v1", 2)
    env.reset(seed=1)
    for _ in range(7):
        env.step(np.array([0, 1]))
    saved, seven = bytearray(env.save()), (7).to_bytes(8, "little") * 2
    assert saved.count(seven) == 1
    at = saved.index(seven)
    for length in (2**63 - 1, 2**64 - 1):
        saved[at : at + 8] = length.to_bytes(8, "little")
        saved[-8:] = fnv(saved[:-8])
        with pytest.raises(ValueError, match="damaged"):
            env.load(bytes(saved))
    assert env.envs_in_c.episode_length.tolist() == [7, 7]


@pytest.mark.skipif(not has_extension(), reason="there are no compiled environments")
def test_finished_episodes_are_read_from_the_environments():
    """A file with other flags would drop a step."""
    from fasttrpo.envs import CompiledVectorEnv

    env = CompiledVectorEnv("CartPole-v1", 2, autoreset_mode="NextStep")
    stream = insides(small_model(env, n_steps=8).learn(16)).stream
    good = stream.state()
    stream.load_state(good | {"environment_over": ~good["environment_over"]})
    np.testing.assert_array_equal(stream.state()["environment_over"], env.over)
    with pytest.raises(ValueError, match="environment_over has dtype float64, not bool"):
        stream.load_state(good | {"environment_over": np.array([np.nan, 1])})
