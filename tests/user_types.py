"""A user's script for type checkers: `mypy --strict tests/user_types.py` finds no error in it.

`assert_type` fails where a name of fasttrpo is Any. Mistakes must be errors: mypy reports each
`type: ignore` that it does not need.
"""

# mypy: disallow-any-generics, disallow-untyped-calls, disallow-untyped-defs
# mypy: warn-return-any, warn-unused-ignores

from __future__ import annotations

from typing import Any, Literal, assert_type

import gymnasium
import numpy as np
from gymnasium.envs.classic_control import CartPoleEnv

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
    portable,
    theory,
    tuned,
)
from fasttrpo import other as other  # type: ignore[attr-defined]
from fasttrpo.callbacks import BaseCallback, EvalCallback, StopTrainingOnRewardThreshold
from fasttrpo.core import _core32, _core64
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
from fasttrpo.envs.mujoco import nonesuch as nonesuch  # type: ignore[attr-defined]
from fasttrpo.logs.logger import Logger
from fasttrpo.protocols import Agent
from fasttrpo.settings import Settings
from fasttrpo.settings.agent import AgentSettings


class Print(BaseCallback):
    """A callback that uses its model."""

    def _on_rollout_end(self) -> None:
        assert_type(self.model, TRPO)
        self.logger.record("kl", self.model.target_kl)


def train() -> TRPO:
    """The calls of most scripts."""
    env = gymnasium.make_vec("CartPole-v1", num_envs=8)
    arch = {"net_arch": [32, 32]}
    model = TRPO("MlpPolicy", env, n_steps=128, target_kl=lambda left: 0.02 * left, seed=0)
    model = TRPO("MlpPolicy", "CartPole-v1", policy_kwargs=arch, critic="adam", dtype=np.float64)
    model = TRPO("MlpPolicy", CartPoleEnv, n_envs=4, env_kwargs={"sutton_barto_reward": True})
    model = TRPO("MlpPolicy", lambda: gymnasium.make("CartPole-v1"), n_envs=4, env_kwargs=None)
    stop = StopTrainingOnRewardThreshold(475)
    evaluate = EvalCallback("CartPole-v1", stop, eval_freq=1000)
    model.learn(60_000, callback=[evaluate, Print()], progress_bar=True)
    model.learn(1e6, lambda record: bool(record["kl"] < 0.1))
    model.learn(1e6, lambda of_loop, of_module: True, max_seconds=60)
    model.save("model")
    return TRPO.load("model", "CartPole-v1", target_kl="linear", n_envs=4).learn(1)


def look(model: TRPO) -> None:
    """Attributes, settings among them."""
    assert_type(model.num_timesteps, int)
    assert_type(model.records, list[dict[str, Any]])
    assert_type(model.logger, Logger)
    assert_type(model.settings, Settings)
    assert_type(model.settings.gamma, float)
    assert_type(model.gamma, float)
    assert_type(model.seed, int)
    assert_type(model.kl_direction, Literal["forward", "reverse"])
    model.dtype = np.float64
    assert_type(model.batch_size, int | None)
    model.target_kl = "linear_0.02"
    model.change(gamma=0.9, cg_max_steps=None)


def mistake(model: TRPO) -> None:
    """Each line is one."""
    TRPO("MlpPolicy", "CartPole-v1", gama=0.9)  # type: ignore[call-arg]
    TRPO("MlpPolicy", "CartPole-v1", gamma="0.9")  # type: ignore[arg-type]
    TRPO("MlpPolicy", "CartPole-v1", critic="sgd")  # type: ignore[arg-type]
    TRPO("MlpPolicy", "CartPole-v1", use_sde=True)  # type: ignore[arg-type]
    TRPO("MlpPolicy", "CartPole-v1", target_kl=lambda: 0.1)  # type: ignore[arg-type,misc]
    TRPO("MlpPolicy", 3)  # type: ignore[arg-type]
    TRPO("MlpPolicy", lambda: 3)  # type: ignore[arg-type]
    TRPO("MlpPolicy", "CartPole-v1", env_kwargs=[3])  # type: ignore[arg-type]
    TRPO.load("model", gama=0.9)  # type: ignore[call-arg]
    TRPO.load("model", seed=0)  # type: ignore[call-arg]
    model.change(n_envs=8)  # type: ignore[call-arg]
    model.change(n_steps=0.5)  # type: ignore[arg-type]
    model.learn(1, callback=3)  # type: ignore[arg-type]
    print(model.typo)  # type: ignore[attr-defined]
    model.typo = 1  # type: ignore[attr-defined]
    model.gamma = "0.9"  # type: ignore[assignment]
    model.seed = 1  # type: ignore[misc]


def agents(settings: AgentSettings) -> list[Agent]:
    """What training needs of an agent."""
    twin = portable.Agent(settings)  # type: ignore[no-untyped-call]
    return [_core32.Agent(settings), _core64.Agent(settings), twin]


def use_other_names(model: TRPO, rollout: Rollout) -> None:
    """The other public names."""
    assert_type(evaluate_policy(model, "CartPole-v1"), tuple[float, float])
    episodes = evaluate_policy(model, "CartPole-v1", return_episode_rewards=True)
    assert_type(episodes, tuple[list[float], list[int]])
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
