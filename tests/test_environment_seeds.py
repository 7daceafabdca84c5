"""Environments get seeds below 2**31, as simulators with a C int require."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from helpers import Counter, small_model
from vec_env import VecCartPole

from fasttrpo import TRPO, evaluate_policy
from fasttrpo.callbacks import EvalCallback
from fasttrpo.envs import CompiledVectorEnv
from fasttrpo.stream.seeds import of_env

N_ENVS = 3


class Seeded(Counter):
    """Records its seeds."""

    seeds: list[int] = []  # noqa: RUF012 - shared by all instances

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.seeds.append(seed)
        return super().reset(seed=seed, options=options)


class SeededVecEnv(VecCartPole):
    """Records its environments' seeds."""

    def seed(self, seed):
        super().seed(seed)
        Seeded.seeds += self.seeds


@pytest.fixture
def seeds():
    Seeded.seeds.clear()
    gymnasium.register("Seeded-v0", entry_point=Seeded)
    yield Seeded.seeds
    del gymnasium.registry["Seeded-v0"]


def seeded_vector_env():
    return gymnasium.vector.SyncVectorEnv([Seeded] * N_ENVS)


KINDS = {
    "id": lambda: "Seeded-v0",
    "env": Seeded,
    "vector_env": seeded_vector_env,
    "vec_env": lambda: SeededVecEnv(N_ENVS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_of_environments_are_below_2_31(kind, seeds, tmp_path):
    """In `learn`, after loading, after set_random_seed, and in evaluations with large seeds."""
    model, largest = None, 2**64 - 1
    for seed in (0, 2, 3, 8, 2**31, 2**31 - 1, largest):
        model = small_model(KINDS[kind](), seed=seed, n_steps=8)
        model.learn(8)
    model.set_random_seed(2**63 + 5)
    model.learn(8, reset_num_timesteps=False)
    model.save(tmp_path / "model", checkpoint=True)
    TRPO.load(tmp_path / "model", KINDS[kind]()).learn(8, reset_num_timesteps=False)
    for seed in (2**31 - 1, 2**32 + 1, largest):
        evaluate_policy(model, KINDS[kind](), 2, seed=seed)
    assert len(seeds) >= 10
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_seeds_of_evaluations_and_views_are_below_2_31(seeds):
    evaluation = EvalCallback("Seeded-v0", eval_freq=8, n_eval_episodes=2, verbose=0)
    model = small_model("Seeded-v0", seed=2**32 - 1)
    model.learn(16, evaluation)
    view = model.get_env()
    returned = view.seed(2**31 - 1)
    view.reset()
    assert returned == seeds[-4:]
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_seeds_that_fit_are_unchanged(seeds):
    evaluate_policy(
        small_model(seeded_vector_env(), n_steps=8), seeded_vector_env(), 3, seed=2**31 - 1 - N_ENVS
    )
    assert seeds == [2**31 - 1 - N_ENVS + e for e in range(N_ENVS)]


def test_environments_of_one_reset_have_different_seeds(seeds):
    for seed in (2**31 - 2, 2**32 - 1, 2**40):
        seeds.clear()
        evaluate_policy(
            small_model(seeded_vector_env(), n_steps=8), seeded_vector_env(), 3, seed=seed
        )
        assert len(set(seeds)) == N_ENVS


def test_compiled_environments_get_64_bit_seeds():
    """So the bits of existing runs do not change."""
    env = CompiledVectorEnv("CartPole-v1", 2)
    assert of_env(2**63, env) == 2**63
    env.reset(seed=int(np.random.SeedSequence((0, 0)).generate_state(1)[0]))
    model = TRPO("MlpPolicy", "CartPole-v1", n_envs=2, n_steps=8, seed=0)
    observations = []
    model.learn(8, lambda l, g: observations.append(l["obs"].copy()))  # noqa: E741
    np.testing.assert_array_equal(observations[0], env.observations())
