"""What is to be learnt, how fast, and the peer's settings for it."""

from __future__ import annotations

from typing import Any, NamedTuple


class Target(NamedTuple):
    """A mean return, and what our median run may need for it."""

    mean: float
    seconds: float
    steps: int | None = None


class Task(NamedTuple):
    """An environment to be learnt by us, with the built-in settings, and by sb3-contrib."""

    env_id: str
    targets: tuple[Target, ...]
    """the easier ones first"""
    peer: dict[str, Any]
    """of rl-baselines3-zoo: sb3-contrib's keywords, n_envs, and normalize (its VecNormalize)"""
    ratio: float | None = None
    """how many times as fast as the peer's our median run must be"""


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
    """Steps per second of whole training: at least a share of bare physics, times the peer's."""

    env_id: str
    n_envs: int
    rows: int
    share: float
    ratio: float


THROUGHPUT = Throughput("HalfCheetah-v5", n_envs=64, rows=2048, share=0.7, ratio=8)


def chosen(env_ids: list[str]) -> tuple[list[Task], list[Throughput]]:
    """Those named, or all. ValueError for a name that is none."""
    known = {task.env_id: task for task in (*TASKS, THROUGHPUT)}
    unknown = [env_id for env_id in env_ids if env_id not in known]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is none of {', '.join(known)}")
    of = [known[env_id] for env_id in env_ids or known]
    return [t for t in of if isinstance(t, Task)], [t for t in of if isinstance(t, Throughput)]
