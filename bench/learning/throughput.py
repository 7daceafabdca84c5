"""Steps per second of complete training in MuJoCo tasks, alternating with bare physics."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from bench import mujoco_envs, timing

OURS, PHYSICS, PEER = "ours", "bare mj_step loops", "sb3-contrib"


def measure(
    env_id: str, n_envs: int, rows: int, threads: int, seconds: float, sb3_contrib: bool
) -> dict[str, Any]:
    """Times of `rows` steps: one of our iterations, physics alone, one of the peer's iterations."""
    mujoco_envs.quiet()
    size = env_id, n_envs, rows, threads
    runs = {PHYSICS: physics(*size), OURS: ours(*size)}
    missing = {}
    if sb3_contrib:
        try:
            runs[PEER] = peer(env_id, rows)
        except ImportError as error:
            missing = {"skipped": str(error)}
    gc.collect()
    contestants = {name: timing.Contestant(run) for name, run in runs.items()}
    times = timing.alternate(contestants, seconds)
    return {"times": {name: asdict(each) for name, each in times.items()}, "rows": rows} | missing


def physics(env_id: str, n_envs: int, rows: int, threads: int) -> Callable[[], None]:
    """`rows` steps in one call; each thread loops over mj_step."""
    env = mujoco_envs.ours(env_id, n_envs, threads)
    return mujoco_envs.bare(env, threads, rows // n_envs)


def ours(env_id: str, n_envs: int, rows: int, threads: int) -> Callable[[], None]:
    """`learn` for one iteration that continues the previous one."""
    from fasttrpo import TRPO

    env = mujoco_envs.ours(env_id, n_envs, threads)
    model = TRPO("MlpPolicy", env, n_steps=rows // n_envs, seed=0, n_threads=threads)
    return lambda: model.learn(rows, reset_num_timesteps=False)


def peer(env_id: str, rows: int) -> Callable[[], None]:
    """The same for sb3-contrib, with its defaults in one Gymnasium environment."""
    from bench.learning import sb3

    model = sb3.make(env_id, 0, {"n_steps": rows})
    return lambda: model.learn(rows, reset_num_timesteps=False)
