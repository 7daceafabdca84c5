"""sb3-contrib's TRPO on a recorded rollout: its `train()`, its defaults, its rollout buffer.

Not timed: filling the buffer, and its advantage estimation, which is included in ours.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import numpy as np

from bench.batches import GAE_LAMBDA, GAMMA, Recorded, Shape
from bench.peers.torch_peer import layers_of

VALUE_HIDDEN = (64, 64)


def spaces_only(shape: Shape) -> type:
    """A Gymnasium environment with the shape's spaces, never stepped."""
    import gymnasium as gym

    class SpacesOnly(gym.Env):
        observation_space = gym.spaces.Box(-np.inf, np.inf, (shape.obs_size,), np.float32)
        if shape.is_gaussian:
            action_space = gym.spaces.Box(-1.0, 1.0, (shape.outputs,), np.float32)
        else:
            action_space = gym.spaces.Discrete(shape.outputs)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.zeros(shape.obs_size, np.float32), {}

    return SpacesOnly


def model_of(shape: Shape, n_steps: int = 2048, n_envs: int = 1) -> Any:
    """A fresh sb3-contrib TRPO with its defaults and the shape's policy network."""
    from sb3_contrib import TRPO
    from stable_baselines3.common.logger import Logger
    from stable_baselines3.common.vec_env import DummyVecEnv

    model = TRPO(
        "MlpPolicy",
        DummyVecEnv([spaces_only(shape)] * n_envs),
        n_steps=n_steps,
        policy_kwargs={"net_arch": {"pi": list(shape.hidden), "vf": list(VALUE_HIDDEN)}},
        seed=0,
        device="cpu",
    )
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


def load_network(policy: Any, net: str, head: str, theta: np.ndarray, sizes: tuple) -> None:
    """Copies our layers into its parameters of that network."""
    import torch

    layers, state = layers_of(theta, sizes), policy.state_dict()
    for name, layer in zip(_names(net, head, len(layers)), layers, strict=True):
        state[f"{name}.weight"] = torch.tensor(layer[:-1].T.copy(), dtype=torch.float32)
        state[f"{name}.bias"] = torch.tensor(layer[-1].copy(), dtype=torch.float32)
    if net == "policy_net" and "log_std" in state:
        n_net = sum(layer.size for layer in layers)
        state["log_std"] = torch.tensor(theta[n_net:], dtype=torch.float32)
    policy.load_state_dict(state)


def _names(net: str, head: str, n_layers: int) -> list[str]:
    return [*(f"mlp_extractor.{net}.{2 * i}" for i in range(n_layers - 1)), head]


class Update:
    """One `train()`, repeated from the same state."""

    def __init__(self, batch: Recorded):
        self._batch = batch
        self.model = model_of(batch.shape, len(batch.rew), batch.n_envs)
        policy = self.model.policy
        load_network(policy, "policy_net", "action_net", batch.theta, batch.shape.sizes)
        sizes = (batch.shape.obs_size, *VALUE_HIDDEN, 1)
        if batch.value_theta.size == sum((k + 1) * m for k, m in _pairs(sizes)):
            load_network(policy, "value_net", "value_net", batch.value_theta, sizes)
        self._start = copy.deepcopy(policy.state_dict())
        self._optimizer = copy.deepcopy(policy.optimizer.state_dict())
        self._rows = self._collected()

    def _collected(self) -> dict[str, np.ndarray]:
        """Values and log-probabilities as its collect_rollouts would have written them."""
        import torch

        policy, shape = self.model.policy, self._batch.rew.shape
        obs, act = (torch.tensor(self._batch.flat(name)) for name in ("obs", "act"))
        with torch.no_grad():
            values, log_probs, _ = policy.evaluate_actions(obs, act)
            after = policy.predict_values(torch.tensor(self._batch.flat("next_obs")))
        rows = {"values": values, "log_probs": log_probs, "after": after}
        return {name: rows[name].numpy().reshape(shape).astype(np.float32) for name in rows}

    def seed(self, seed: int) -> None:
        """Sets the seed of minibatches from now on."""
        import torch

        np.random.seed(seed)  # noqa: NPY002 (its buffers use the global generator)
        torch.manual_seed(seed)

    def prepare(self, values: np.ndarray | None = None, after: np.ndarray | None = None) -> None:
        """Restores networks and optimizer, and fills the buffer as after a rollout.

        values, after: of each step's observation and the following one, if the rollout was
        collected with another critic.
        """
        batch, buffer, model = self._batch, self.model.rollout_buffer, self.model
        model.policy.load_state_dict(self._start)
        model.policy.optimizer.load_state_dict(copy.deepcopy(self._optimizer))
        values, after = (self._rows[k] if x is None else x for k, x in _named(values, after))
        done = batch.term | batch.trunc
        buffer.reset()
        buffer.observations[...], buffer.actions[...] = batch.obs, batch.act
        buffer.values[...], buffer.log_probs[...] = values, self._rows["log_probs"]
        buffer.rewards[...] = batch.rew + GAMMA * after * (batch.trunc & ~batch.term)
        buffer.episode_starts[1:] = done[:-1]
        buffer.pos, buffer.full = len(batch.rew), True
        self._estimate(after[-1], done[-1])

    def _estimate(self, last_values: np.ndarray, done: np.ndarray) -> None:
        import torch

        buffer = self.model.rollout_buffer
        assert (buffer.gamma, buffer.gae_lambda) == (GAMMA, GAE_LAMBDA)
        buffer.compute_returns_and_advantage(torch.tensor(last_values), done)

    @property
    def advantages(self) -> np.ndarray:
        """(T, E), as in its buffer before training."""
        return self.model.rollout_buffer.advantages.copy()

    def run(self) -> None:
        """Runs the update."""
        self.model.train()

    @property
    def step(self) -> np.ndarray:
        """theta after minus theta before, in our layout."""
        sizes = self._batch.shape.sizes
        state = {k: v.numpy().astype(np.float64) for k, v in self.model.policy.state_dict().items()}
        blocks = [
            np.vstack([state[f"{name}.weight"].T, state[f"{name}.bias"]]).ravel()
            for name in _names("policy_net", "action_net", len(sizes) - 1)
        ]
        log_std = [state["log_std"]] if "log_std" in state else []
        return np.concatenate([*blocks, *log_std]) - self._batch.theta

    def values(self, obs: np.ndarray) -> np.ndarray:
        """V (n,) of the current critic."""
        import torch

        with torch.no_grad():
            return self.model.policy.predict_values(torch.tensor(obs)).numpy().ravel()


def _pairs(sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(pairwise(sizes))


def _named(values: Any, after: Any) -> tuple[tuple[str, Any], ...]:
    return (("values", values), ("after", after))
