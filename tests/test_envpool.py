"""EnvPool's environments: both an Env and a VectorEnv, with a single environment's
`observation_space`, seeded at construction only.
"""

from __future__ import annotations

import numpy as np
import pytest

from fasttrpo import TRPO, evaluate_policy
from fasttrpo.stream.make import as_vector_env
from fasttrpo.stream.stream import Stream

envpool = pytest.importorskip("envpool", reason="EnvPool is not installed: pip install envpool")

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*precision lowered by casting"),
    pytest.mark.filterwarnings("ignore:EnvPool seeds are fixed"),
]


def pool(env_id="CartPole-v1", n_envs=8, seed=3):
    return envpool.make(env_id, env_type="gymnasium", num_envs=n_envs, seed=seed)


def test_an_envpool_is_used_without_a_wrapper():
    env = pool()
    assert as_vector_env(env) is env
    with pytest.raises(ValueError, match="n_envs=3, but the environment passed has 8"):
        as_vector_env(env, 3)


def test_ignored_seeds_are_warned_of():
    with pytest.warns(UserWarning, match=r"pass seed to envpool\.make"):
        TRPO("MlpPolicy", pool(), n_steps=16, seed=1).learn(16)


def test_steps_that_only_reset_are_skipped():
    stream = Stream(pool())
    stream.reset()
    lengths, ended = np.zeros(8, int), []
    for _ in range(60):
        step = stream.step(np.ones(8, np.int32))
        lengths += ~step.skip
        assert not step.rewards[step.skip].any()
        assert (step.rewards[~step.skip] == 1).all()
        ended += lengths[step.done].tolist()
        lengths[step.done] = 0
    assert len(ended) > 30
    assert set(ended) <= set(range(8, 12))  # pushed to one side, the pole falls after 8 to 11 steps


def test_a_model_trains_and_is_evaluated():
    model = TRPO("MlpPolicy", pool(seed=0), n_steps=128, seed=0).learn(30_000)
    mean, _ = evaluate_policy(model, pool(seed=1), 16)
    assert mean > 200


def test_continuous_actions_work():
    model = TRPO("MlpPolicy", pool("Pendulum-v1", 4), n_steps=64, seed=0).learn(512)
    assert model.predict(np.zeros((4, 3), np.float32))[0].shape == (4, 1)
    assert model.records[-1]["n_samples"] == 256
