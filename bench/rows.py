"""What a row of a rollout costs beyond the environments' own steps, which Gymnasium makes in turn.

    python -m bench.rows [ENV_ID ...] [--n-envs 1 8] [--turns N]

Prints a Markdown table. *Bare* is a loop over `gymnasium.make(id).step` and `reset`, with random
actions, per step; *learn* is what `learn` takes to collect, per step: policy outputs, sampling,
steps, checks, values, episodes. *Own share* is the difference, per row of all environments and per
step. Both alternate in one thread, whose CPU time counts; each figure is the best of many turns of
a few milliseconds, so that it measures the code and not what else the machine was doing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import thread_time
from typing import Any

import gymnasium

from bench.runs import ready
from fasttrpo.stream.make import as_vector_env
from fasttrpo.training.trainer import no_callback

ENV_IDS = ("Blackjack-v1", "FrozenLake-v1", "Taxi-v4", "CartPole-v1", "Pendulum-v1")
STEPS = 256


def bare(env_id: str) -> Callable[[], None]:
    """A function that makes `STEPS` steps in one environment."""
    env = gymnasium.make(env_id)
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(STEPS)]

    def run() -> None:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return run


def rollout(env_id: str, n_envs: int) -> Callable[[], None]:
    """A function that collects and discards rollouts of `STEPS` steps."""
    env = as_vector_env(env_id, n_envs, "gymnasium")
    trainer = ready(env, n_steps=STEPS // n_envs, seed=0, n_threads=1)

    def run() -> None:
        trainer.collect(no_callback(trainer))
        trainer.agent.discard()

    return run


def cost(run: Callable[[], None]) -> float:
    """CPU seconds per step."""
    start = thread_time()
    run()
    return (thread_time() - start) / STEPS


def line(env_id: str, n_envs: int, turns: int) -> str:
    """One environment's line of the table."""
    loop, ours = bare(env_id), rollout(env_id, n_envs)
    pairs = [(cost(loop), cost(ours)) for _ in range(turns)]
    bare_us, ours_us = (min(each) * 1e6 for each in zip(*pairs, strict=True))
    share = ours_us - bare_us
    return (
        f"| {env_id} | {n_envs} | {bare_us:.1f} us | {ours_us:.1f} us | {share * n_envs:.1f} us "
        f"| {share:.1f} us |"
    )


def main(arguments: Any = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("env_ids", metavar="ENV_ID", nargs="*", default=ENV_IDS)
    parser.add_argument("--n-envs", type=int, nargs="+", default=(1, 8))
    parser.add_argument("--turns", type=int, default=100)
    args = parser.parse_args(arguments)
    print("| environment | n_envs | bare | learn | own share of a row | of a step |")
    print("|---|---|---|---|---|---|")
    for env_id in args.env_ids:
        for n_envs in args.n_envs:
            print(line(env_id, n_envs, args.turns), flush=True)


if __name__ == "__main__":
    main()
