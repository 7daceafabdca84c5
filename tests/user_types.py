"""A user's script for type checkers: `mypy tests/user_types.py` reports no error in it.

Each line asserts a type that fails if fasttrpo's name is Any. Names that do not exist must be
errors: mypy reports unused `type: ignore` comments.
"""

# mypy: warn-unused-ignores

from __future__ import annotations

from typing import Any, assert_type

import fasttrpo
from fasttrpo import (
    TRPO,
    FormatError,
    Rollout,
    SaveError,
    callbacks,
    configure,
    envs,
    evaluate_policy,
    theory,
    tuned,
)
from fasttrpo import nonesuch as nonesuch  # type: ignore[attr-defined]
from fasttrpo.callbacks import EvalCallback, StopTrainingOnRewardThreshold
from fasttrpo.envs import (
    CompiledVectorEnv,
    CompileError,
    NumbaEnvironment,
    SimulationError,
    is_definition,
    is_library,
    mujoco,
)
from fasttrpo.envs import nothing as nothing  # type: ignore[attr-defined]
from fasttrpo.envs.mujoco import MujocoVectorEnv, Task, from_model
from fasttrpo.envs.mujoco import absent as absent  # type: ignore[attr-defined]
from fasttrpo.logs.logger import Logger
from fasttrpo.settings import Settings


def train() -> TRPO:
    """The calls of most scripts."""
    model = TRPO("MlpPolicy", "CartPole-v1", n_envs=8, seed=0)
    stop = StopTrainingOnRewardThreshold(475)
    evaluate = EvalCallback("CartPole-v1", stop, eval_freq=1000)
    model.learn(60_000, callback=[evaluate], progress_bar=True)
    model.save("model")
    assert_type(model.num_timesteps, int)
    assert_type(model.records, list[dict[str, Any]])
    assert_type(model.logger, Logger)
    assert_type(model.settings, Settings)
    assert_type(model.settings.gamma, float)
    assert_type(evaluate.best_mean_reward, float)
    return TRPO.load("model", "CartPole-v1").learn(1)


def use_other_names(model: TRPO, rollout: Rollout) -> None:
    """The other public names."""
    assert_type(
        evaluate_policy(model, "CartPole-v1"), tuple[float, float] | tuple[list[float], list[int]]
    )
    assert_type(fasttrpo.configure("logs"), Logger)
    assert_type(configure("logs").get_dir(), str | None)
    assert_type(model.update(rollout), dict[str, Any])
    assert_type(FormatError("").args, tuple[Any, ...])
    assert_type(SaveError("").errno, int | None)
    assert_type(fasttrpo.callbacks.CheckpointCallback(1, "logs").n_calls, int)
    assert_type(callbacks.BaseCallback().n_calls, int)
    assert_type(theory.Policy(4, "categorical", (2,)).obs_size, int)
    assert_type(tuned.settings_for("CartPole-v1"), tuned.Preset)
    assert_type(fasttrpo.__version__, str)


def simulate(walk: NumbaEnvironment, task: Task) -> None:
    """The names for environments."""
    assert_type(CompiledVectorEnv(walk, 4).num_envs, int)
    assert_type(walk.make_vec(4), CompiledVectorEnv)
    assert_type(is_library("x"), bool)
    assert_type(is_definition("x"), bool)
    assert_type(envs.is_ours("x"), bool)
    assert_type(envs.missing("x"), str | None)
    assert_type(SimulationError("", 0, 0).env, int)
    assert_type(CompileError("").line, int | None)
    assert_type(mujoco.make("Hopper-v5"), MujocoVectorEnv)
    assert_type(mujoco.Hopper(num_envs=3).n_threads, int)
    assert_type(task.contact_forces, bool)
    env = from_model("arm.xml", lambda sim: sim.qpos, lambda sim, before: sim.qpos[:, 0])
    assert_type(env, MujocoVectorEnv)
