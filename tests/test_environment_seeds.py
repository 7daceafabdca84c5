"""Seeds that environments get: below 2**31, as simulators with a C int need them."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from helpers import Counter, small_model
from vec_env import VecCartPole

from fasttrpo import TRPO, evaluate_policy
from fasttrpo.callbacks import EvalCallback
from fasttrpo.envs import CompiledVectorEnv
from fasttrpo.seeds import of_env

N_ENVS = 3


class Seeded(Counter):
    """Notes its seeds."""

    seeds: list[int] = []  # noqa: RUF012 - one list of all

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.seeds.append(seed)
        return super().reset(seed=seed, options=options)


class SeededVecEnv(VecCartPole):
    """Notes its environments' seeds."""

    def seed(self, seed):
        super().seed(seed)
        Seeded.seeds += self.seeds


@pytest.fixture
def seeds():
    Seeded.seeds.clear()
    gymnasium.register("Seeded-v0", entry_point=Seeded)
    yield Seeded.seeds
    del gymnasium.registry["Seeded-v0"]


def many():
    return gymnasium.vector.SyncVectorEnv([Seeded] * N_ENVS)


KINDS = {
    "id": lambda: "Seeded-v0",
    "env": Seeded,
    "vector_env": many,
    "vec_env": lambda: SeededVecEnv(N_ENVS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_below_2_31(kind, seeds, tmp_path):
    """In `learn`, after a load, by set_random_seed, in an evaluation with the largest seed."""
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


def test_those_of_an_evaluation_and_of_a_view(seeds):
    evaluation = EvalCallback("Seeded-v0", eval_freq=8, n_eval_episodes=2, verbose=0)
    model = small_model("Seeded-v0", seed=2**32 - 1)
    model.learn(16, evaluation)
    view = model.get_env()
    told = view.seed(2**31 - 1)
    view.reset()
    assert told == seeds[-4:]
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_seed_that_fits_stays(seeds):
    evaluate_policy(small_model(many(), n_steps=8), many(), 3, seed=2**31 - 1 - N_ENVS)
    assert seeds == [2**31 - 1 - N_ENVS + e for e in range(N_ENVS)]


def test_environments_of_one_reset_have_seeds_of_their_own(seeds):
    for seed in (2**31 - 2, 2**32 - 1, 2**40):
        seeds.clear()
        evaluate_policy(small_model(many(), n_steps=8), many(), 3, seed=seed)
        assert len(set(seeds)) == N_ENVS


def test_compiled_environments_get_theirs_whole():
    """So that a run has the bits it always had."""
    env = CompiledVectorEnv("CartPole-v1", 2)
    assert of_env(2**63, env) == 2**63
    env.reset(seed=int(np.random.SeedSequence((0, 0)).generate_state(1)[0]))
    model = TRPO("MlpPolicy", "CartPole-v1", n_envs=2, n_steps=8, seed=0)
    seen = []
    model.learn(8, lambda l, g: seen.append(l["obs"].copy()))  # noqa: E741
    np.testing.assert_array_equal(seen[0], env.observations())
