"""Environment steps per second: with given actions, next to Gymnasium and EnvPool; in rollouts.

    python -m bench.envs [ENV_ID ...] [--seconds S]

Prints two Markdown tables. Given actions are random and generated beforehand; resets are included;
one thread (a process per environment for Gymnasium's async). "in C" steps without Python in
between, as a compiled rollout does, and so does "Numba" (numba_cartpole.py: CartPole in Python,
first checked against the one in C). The others are `VectorEnv.step` calls. EnvPool is left out if
it is not installed. Rollouts are those of `learn`, complete: policy outputs, sampling, steps,
values, log-probabilities and episodes, 4,096 steps in all, with one thread and with two. "by step"
is the same from Python, row by row, on one thread. Each figure is the best of many intervals of a
few milliseconds, so that it measures the code and not what else the machine was doing.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import gymnasium
import numpy as np

from bench.numba_cartpole import cart
from bench.runs import ready
from fasttrpo.envs import CompiledVectorEnv
from fasttrpo.envs.classic import IDS
from fasttrpo.training.trainer import no_callback

SIZES = (1, 4, 64, 1024)
INTERVAL = 0.003  # seconds
LARGEST_ASYNC = 4  # a process each
IN_C, NUMBA = "fasttrpo in C", "fasttrpo Numba"
PYTHON_ENVS = {"CartPole-v1": cart}

# A rollout's policy and value networks, and its numbers of environments.
NETWORKS = {
    "64-64, values 64-64": {"policy": "MlpPolicy"},
    "linear, values 64-64": {"policy": "LinearPolicy"},
    "linear, values linear": {"policy": "LinearPolicy", "policy_kwargs": {"net_arch": {"vf": []}}},
}
ROLLOUT_SIZES = (4, 64)
ROLLOUT = 4096

Step = Callable[[np.ndarray], Any]


def ours(env_id: str, n_envs: int) -> tuple[Step, Callable[[], None]]:
    """`step` for a batch of actions, and the function that closes the environment."""
    env = CompiledVectorEnv(env_id, n_envs)
    env.reset(seed=0)
    return env.step, env.close


def gymnasium_env(env_id: str, n_envs: int, mode: str) -> tuple[Step, Callable[[], None]]:
    """Gymnasium's "sync", "async" or "vector_entry_point" (NumPy; only CartPole has it)."""
    env = gymnasium.make_vec(env_id, num_envs=n_envs, vectorization_mode=mode)
    env.reset(seed=0)
    return env.step, env.close


def envpool_env(env_id: str, n_envs: int, n_threads: int) -> tuple[Step, Callable[[], None]]:
    """EnvPool, which accepts float32 and int32 actions."""
    import envpool

    env = envpool.make_gymnasium(env_id, num_envs=n_envs, num_threads=n_threads)
    env.reset()

    def step(actions: np.ndarray) -> None:
        env.step(actions.astype(np.int32 if actions.dtype.kind == "i" else np.float32))

    return step, env.close


def contenders(env_id: str) -> dict[str, Callable[[int], Any]]:
    """Name -> maker of (step, close) for a number of environments."""
    makers = {
        "fasttrpo": partial(ours, env_id),
        "gymnasium sync": partial(gymnasium_env, env_id, mode="sync"),
        "gymnasium async": partial(gymnasium_env, env_id, mode="async"),
    }
    if gymnasium.spec(env_id).vector_entry_point:
        makers["gymnasium NumPy"] = partial(gymnasium_env, env_id, mode="vector_entry_point")
    if has_envpool():
        makers["envpool"] = partial(envpool_env, env_id, n_threads=1)
        makers["envpool, 2 threads"] = partial(envpool_env, env_id, n_threads=2)
    return makers


def has_envpool() -> bool:
    """Whether EnvPool can be imported."""
    try:
        import envpool  # noqa: F401
    except ImportError:
        return False
    return True


def random_actions(env_id: str, n_envs: int, n_steps: int) -> np.ndarray:
    """(T, E) or (T, E, D) random actions."""
    space = CompiledVectorEnv(env_id, n_envs).action_space
    space.seed(0)
    return np.array([space.sample() for _ in range(n_steps)])


def rate(run: Callable[[np.ndarray], None], actions: np.ndarray, seconds: float) -> float:
    """The best rate, in environment steps per second, of repeated runs over the actions."""
    rates, start = [], perf_counter()
    while perf_counter() - start < seconds:
        interval_start, steps = perf_counter(), 0
        while (passed := perf_counter() - interval_start) < INTERVAL:
            run(actions)
            steps += actions.shape[0] * actions.shape[1]
        rates.append(steps / passed)
    return max(rates)


def stepping(step: Step) -> Callable[[np.ndarray], None]:
    """Makes one call per step."""

    def run(actions: np.ndarray) -> None:
        for action in actions:
            step(action)

    return run


def in_c(env: Any) -> Callable[[np.ndarray], None]:
    """Makes all steps of a compiled environment in one call."""
    env.reset(seed=0)

    def run(actions: np.ndarray) -> None:
        env.envs_in_c.steps(actions.reshape(*actions.shape[:2], -1), 1)

    return run


def row(env_id: str, n_envs: int, seconds: float) -> dict[str, float]:
    """{contender: steps per second}"""
    actions = random_actions(env_id, n_envs, max(2, 64 // n_envs))
    many = random_actions(env_id, n_envs, max(16, 4096 // n_envs)).astype(np.float64)
    rates = {IN_C: rate(in_c(CompiledVectorEnv(env_id, n_envs)), many, seconds)}
    if env_id in PYTHON_ENVS:
        check(env_id, PYTHON_ENVS[env_id], many)
        rates[NUMBA] = rate(in_c(PYTHON_ENVS[env_id].make_vec(n_envs)), many, seconds)
    for name, maker in contenders(env_id).items():
        if name == "gymnasium async" and n_envs > LARGEST_ASYNC:
            continue
        step, close = maker(n_envs)
        rates[name] = rate(stepping(step), actions, seconds)
        close()
    return rates


def check(env_id: str, python_env: Any, actions: np.ndarray) -> None:
    """Raises RuntimeError unless the Python environment equals the one in C, bit for bit."""
    envs = [CompiledVectorEnv(env, actions.shape[1]) for env in (env_id, python_env)]
    for env in envs:
        in_c(env)(actions)
    if not np.array_equal(*(env.states for env in envs)):
        raise RuntimeError(f"{env_id} in Python differs from the one in C")


class Stepped(CompiledVectorEnv):
    """A subclass, so that `learn` steps it from Python."""


def rollout(env: CompiledVectorEnv, keywords: dict[str, Any], seconds: float) -> float:
    """The best rate, in environment steps per second, of complete rollouts that are discarded."""
    n_steps = ROLLOUT // env.num_envs
    trainer = ready(env, n_steps=n_steps, seed=0, **keywords)

    def run(actions: np.ndarray) -> None:
        trainer.collect(no_callback(trainer))
        trainer.agent.discard()

    return rate(run, np.empty((n_steps, env.num_envs)), seconds)


def rollouts(env_id: str, n_envs: int, keywords: dict[str, Any], seconds: float) -> list[float]:
    """With one thread, with two, and by step."""
    kinds = (CompiledVectorEnv, 1), (CompiledVectorEnv, 2), (Stepped, 1)
    return [
        rollout(kind(env_id, n_envs), {**keywords, "n_threads": threads}, seconds)
        for kind, threads in kinds
    ]


def words(steps_per_second: float | None) -> str:
    if steps_per_second is None:
        return "-"
    if steps_per_second >= 1e6:
        return f"{steps_per_second / 1e6:.1f}M"
    return f"{steps_per_second / 1e3:.0f}k"


def print_stepping(env_ids: list[str], seconds: float) -> None:
    """The table of given actions."""
    names = [IN_C, NUMBA, *dict.fromkeys(n for e in env_ids for n in contenders(e))]
    print(f"| environment | envs | {' | '.join(names)} |")
    print("|---|---|" + "---|" * len(names))
    for env_id in env_ids:
        for n_envs in SIZES:
            rates = row(env_id, n_envs, seconds)
            print(f"| {env_id} | {n_envs} | {' | '.join(words(rates.get(n)) for n in names)} |")


def print_rollouts(env_ids: list[str], seconds: float) -> None:
    """The table of rollouts."""
    print("| environment | policy | envs | one thread | two threads | by step |")
    print("|---|---|---|---|---|---|")
    for env_id in env_ids:
        for name, keywords in NETWORKS.items():
            for n_envs in ROLLOUT_SIZES:
                rates = rollouts(env_id, n_envs, keywords, seconds)
                print(f"| {env_id} | {name} | {n_envs} | {' | '.join(map(words, rates))} |")


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("env_ids", nargs="*", default=IDS, metavar="ENV_ID")
    parser.add_argument("--seconds", type=float, default=0.5, help="per figure (default 0.5)")
    args = parser.parse_args()
    print(f"Python {platform.python_version()}, gymnasium {gymnasium.__version__}, ", end="")
    print(f"numpy {np.__version__}, {platform.machine()}; environment steps per second\n")
    print_stepping(args.env_ids, args.seconds)
    print("\nRollouts\n")
    print_rollouts(args.env_ids, args.seconds)


if __name__ == "__main__":
    main()
