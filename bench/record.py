"""Records HalfCheetah rollouts of a half-trained agent: `python -m bench.record [NAME...]`.

Needs MuJoCo (in the `bench` extra). Trains an agent of this library for 61,440 steps with
normalised observations and rewards, then runs it with frozen normalisers for two rollouts of 2,048
steps in 8 environments: the batch and the following one. Takes about 10 s; kept in
machine.cache_folder().
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine
from bench.batches import GAE_LAMBDA, GAMMA, SHAPES, Recorded
from fasttrpo.core.backend import make_agent
from fasttrpo.theory import gae

ENV, STEPS, ENVS, TRAINING = "HalfCheetah-v5", 2048, 8, 61_440
POLICIES = {"large": ("MlpPolicy", "gauss_newton"), "linear": ("LinearPolicy", "ridge")}


def load(name: str) -> Recorded:
    """The recorded rollout, recorded now if it is missing. Raises ImportError without MuJoCo."""
    path = machine.cache_folder() / f"halfcheetah-{name}.npz"
    if not path.exists():
        _make(name, path)
    with np.load(path) as file:
        data = dict(file)
    shape = SHAPES["linear" if name == "linear" else "halfcheetah"]
    source = f"{ENV}, this library's {POLICIES[name][0]} after {TRAINING:,} steps"
    return Recorded(shape=shape, source=source, **data)


@contextlib.contextmanager
def quiet_mujoco() -> Iterator[None]:
    """Silences MuJoCo's warnings and keeps its log in the cache. ImportError without MuJoCo."""
    import mujoco

    with contextlib.chdir(machine.cache_folder()):
        mujoco.set_mju_user_warning(lambda _: None)
        yield


def _make(name: str, path: Path) -> None:
    with quiet_mujoco():
        agent, environments = _trained(name)
        batch, following = (_rollout(agent, environments) for _ in range(2))
    held = {"held_obs": following["obs"].reshape(STEPS * ENVS, -1), "held_ret": _returns(following)}
    networks = {"theta": agent.theta, "value_theta": agent.value_theta}
    kept = {key: batch[key] for key in ("obs", "act", "rew", "term", "trunc", "next_obs")}
    unfinished = path.with_name(f"unfinished-{path.name}")
    np.savez(unfinished, **kept, **networks, **held)
    unfinished.replace(path)


class Environments:
    """A list of environments, each reset when its episode ends."""

    def __init__(self, n: int, env_id: str = ENV):
        import gymnasium

        self.all = [gymnasium.make(env_id) for _ in range(n)]
        self.space = self.all[0].action_space
        self.obs = np.stack([env.reset(seed=i)[0] for i, env in enumerate(self.all)])

    def step(self, act: np.ndarray) -> tuple[np.ndarray, ...]:
        """rew, term, trunc, next_obs; afterwards `obs` holds the observations to act on."""
        steps = [env.step(self._legal(a)) for env, a in zip(self.all, act, strict=True)]
        next_obs = np.stack([step[0] for step in steps])
        self.obs = next_obs.copy()
        for e, (_, _, term, trunc, _) in enumerate(steps):
            if term or trunc:
                self.obs[e] = self.all[e].reset()[0]
        rew, term, trunc = (np.array([step[i] for step in steps]) for i in (1, 2, 3))
        return rew, term, trunc, next_obs

    def _legal(self, act: np.ndarray) -> Any:
        if hasattr(self.space, "n"):
            return int(act[0])
        return np.clip(act, self.space.low, self.space.high)


def _trained(name: str) -> tuple[Any, Environments]:
    """A half-trained agent, and its environments in their current states."""
    critic = POLICIES[name][1]
    shape = SHAPES["linear" if name == "linear" else "halfcheetah"]
    normalized = {"normalize_observations": True, "normalize_rewards": True}
    settings = shape.settings(256 * ENVS, ENVS, critic=critic, seed=0, **normalized)
    agent, environments = make_agent(settings), Environments(ENVS)
    for _ in range(TRAINING // (256 * ENVS)):
        for _ in range(256):
            obs = environments.obs
            act = agent.act(obs)[0]
            agent.push(*environments.step(act))
        agent.update()
    return agent, environments


def _rollout(agent: Any, environments: Environments) -> dict[str, np.ndarray]:
    """STEPS rows with frozen normalisers: observations as the networks see them, scaled rewards."""
    rows = []
    for _ in range(STEPS):
        obs = environments.obs
        act = agent.predict(obs, False)
        rows.append((obs, act, *environments.step(act)))
    fields = (np.stack(column) for column in zip(*rows, strict=True))
    rollout = dict(zip(("obs", "act", "rew", "term", "trunc", "next_obs"), fields, strict=True))
    rollout["value"], rollout["next_value"] = (
        agent.value(rollout[name].reshape(-1, rollout[name].shape[-1])).reshape(STEPS, ENVS)
        for name in ("obs", "next_obs")
    )
    return _normalized(rollout, agent.state())


def _normalized(rollout: dict[str, np.ndarray], state: dict) -> dict[str, np.ndarray]:
    """Normalises as csrc/core/normalizer.c does."""
    mean, m2, count = (state[f"obs_{part}"] for part in ("mean", "m2", "count"))
    for name in ("obs", "next_obs"):
        scaled = (rollout[name] - mean) / np.sqrt(m2 / count + 1e-8)
        rollout[name] = np.clip(scaled, -10, 10).astype(np.float32)
    scale = 1 / np.sqrt(state["rew_m2"] / state["rew_count"] + 1e-8)
    rollout["rew"] = np.clip(rollout["rew"] * scale, -10, 10)
    return rollout


def _returns(rollout: dict[str, np.ndarray]) -> np.ndarray:
    """(N,): the returns that a critic is fitted to."""
    fields = (rollout[name] for name in ("rew", "value", "term", "trunc", "next_value"))
    return gae(*fields, GAMMA, GAE_LAMBDA)[1].ravel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(POLICIES), metavar="NAME")
    for name in parser.parse_args().names:
        batch = load(name)
        print(f"{name}: {batch.n} rows from {batch.source}")


if __name__ == "__main__":
    main()
