"""A user's script, for type checkers: `mypy tests/user_types.py` finds nothing wrong in it.

Each line says a type that is none but Any where a name of fasttrpo's is Any. Names that there are
not must be errors: unused `type: ignore` comments are reported.
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
from fasttrpo.envs.mujoco import nobody as nobody  # type: ignore[attr-defined]
from fasttrpo.logs.logger import Logger
from fasttrpo.settings import Settings


def train() -> TRPO:
    """What most scripts do."""
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


def ask(model: TRPO, rollout: Rollout) -> None:
    """The other names of the package."""
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
    """Environments."""
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
    see = from_model("arm.xml", lambda sim: sim.qpos, lambda sim, before: sim.qpos[:, 0])
    assert_type(see, MujocoVectorEnv)
