"""What a row of a rollout costs beyond the environments' own steps, which Gymnasium makes in turn.

    python -m bench.rows [ENV_ID ...] [--n-envs 1 8] [--steps N]

Prints a Markdown table. *Bare* is a loop over `gymnasium.make(id).step` and `reset`, with random
actions, per step; *learn* is what `learn` takes to collect, per step: policy outputs, sampling,
steps, checks, values, episodes. *Own share* is the difference, per row of all environments and per
step. Both count the CPU time of one thread in intervals of a few steps, and take the best interval,
so that they measure the code and not what else the machine was doing; few episodes end in it.
"""

from __future__ import annotations

import argparse
import math
from time import thread_time
from typing import Any

import gymnasium

from bench.runs import ready
from fasttrpo.stream.make import as_vector_env
from fasttrpo.training.collect import collect

ENV_IDS = ("Blackjack-v1", "FrozenLake-v1", "Taxi-v4", "CartPole-v1", "Pendulum-v1")
INTERVAL = 16  # steps


class Clock:
    """A watch of a rollout that keeps the shortest interval."""

    needs_every_row = False

    def __init__(self, n_envs: int) -> None:
        self.best, self._rows = math.inf, max(1, INTERVAL // n_envs)
        self._left, self._steps, self._since = self._rows, 0, thread_time()

    def rows(self) -> int:
        """The rows that are left of an interval."""
        return self._left

    def passed(self, rows: int, steps: int, row: Any = None) -> None:
        """Counts rows; ends an interval."""
        self._left -= rows
        self._steps += steps
        if self._left <= 0:
            self.best = min(self.best, (thread_time() - self._since) / self._steps)
            self._left, self._steps, self._since = self._rows, 0, thread_time()


def bare(env_id: str, n_steps: int) -> float:
    """Seconds per step of one environment."""
    env = gymnasium.make(env_id)
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(INTERVAL)]
    best = math.inf
    for _ in range(n_steps // INTERVAL):
        start = thread_time()
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        best = min(best, (thread_time() - start) / INTERVAL)
    return best


def ours(env_id: str, n_envs: int, n_steps: int) -> float:
    """Seconds per step in a rollout."""
    env = as_vector_env(env_id, n_envs, "gymnasium")
    trainer = ready(env, n_steps=n_steps // n_envs, seed=0, n_threads=1)
    clock, statistics = Clock(n_envs), trainer.statistics
    rest = trainer.observations, trainer.actions, statistics, n_steps // n_envs, clock
    collect(trainer.agent, trainer.stream, *rest)
    return clock.best


def line(env_id: str, n_envs: int, n_steps: int) -> str:
    """One environment's line of the table."""
    loop, collected = bare(env_id, n_steps) * 1e6, ours(env_id, n_envs, n_steps) * 1e6
    share = collected - loop
    return (
        f"| {env_id} | {n_envs} | {loop:.1f} us | {collected:.1f} us | {share * n_envs:.1f} us "
        f"| {share:.1f} us |"
    )


def main(arguments: Any = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("env_ids", metavar="ENV_ID", nargs="*", default=ENV_IDS)
    parser.add_argument("--n-envs", type=int, nargs="+", default=(1, 8))
    parser.add_argument("--steps", type=int, default=40_000)
    args = parser.parse_args(arguments)
    print("| environment | n_envs | bare | learn | own share of a row | of a step |")
    print("|---|---|---|---|---|---|")
    for env_id in args.env_ids:
        for n_envs in args.n_envs:
            print(line(env_id, n_envs, args.steps), flush=True)


if __name__ == "__main__":
    main()
