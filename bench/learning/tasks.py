"""The tasks to learn, their targets, and the peer's settings."""

from __future__ import annotations

from typing import Any, NamedTuple


class Target(NamedTuple):
    """A mean return, and the limits on our median run."""

    mean: float
    seconds: float
    steps: int | None = None


class Task(NamedTuple):
    """An environment to learn, by us with built-in settings and by sb3-contrib."""

    env_id: str
    targets: tuple[Target, ...]
    """in increasing difficulty"""
    peer: dict[str, Any]
    """rl-baselines3-zoo's: sb3-contrib's keywords, n_envs, and normalize (its VecNormalize)"""
    ratio: float | None = None
    """by how many times our median run must be faster than the peer's"""


TASKS = (
    Task(
        "CartPole-v1",
        (Target(475, 0.6),),
        {
            "n_envs": 2,
            "n_steps": 512,
            "batch_size": 512,
            "cg_damping": 1e-3,
            "gae_lambda": 0.98,
            "gamma": 0.99,
            "learning_rate": 1e-3,
            "n_critic_updates": 20,
        },
        ratio=15,
    ),
    Task(
        "Pendulum-v1",
        (Target(-200, 1.0), Target(-160, 2.0, 300_000)),
        {
            "n_envs": 2,
            "n_steps": 1024,
            "gamma": 0.9,
            "n_critic_updates": 15,
            "use_sde": True,
            "sde_sample_freq": 4,
        },
    ),
    Task(
        "Acrobot-v1",
        (Target(-100, 2.0),),
        {"n_envs": 2, "n_steps": 1024, "normalize": True},
    ),
)


class Throughput(NamedTuple):
    """Steps per second of complete training: at least a share of bare physics and of the peer's."""

    env_id: str
    n_envs: int
    rows: int
    share: float
    ratio: float


THROUGHPUT = Throughput("HalfCheetah-v5", n_envs=64, rows=2048, share=0.7, ratio=8)


def chosen(env_ids: list[str]) -> tuple[list[Task], list[Throughput]]:
    """The named tasks, or all. Raises ValueError for an unknown name."""
    known = {task.env_id: task for task in (*TASKS, THROUGHPUT)}
    unknown = [env_id for env_id in env_ids if env_id not in known]
    if unknown:
        raise ValueError(f"unknown environment {unknown[0]!r}: choose from {', '.join(known)}")
    of = [known[env_id] for env_id in env_ids or known]
    return [t for t in of if isinstance(t, Task)], [t for t in of if isinstance(t, Throughput)]
