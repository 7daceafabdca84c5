"""MuJoCo tasks: steps per second of ours, bare physics, Gymnasium and EnvPool.

    pip install '.[mujoco]' envpool
    python -m bench.mujoco_envs                                     # HalfCheetah-v5, half a minute
    python -m bench.mujoco_envs Hopper-v5 Ant-v5 --threads 2 --seconds 20

All contestants step the same number of environments, T steps per turn with the same actions, and
alternate (`timing.py`); a rate is that of the median turn. Bare physics is `mujoco.batch`'s
compiled loop over mj_step, one call for all T steps, without observations, rewards or resets: an
upper limit for any environment. Before anything is timed, ours is compared with Gymnasium's (1e-9).
EnvPool is left out if it is not installed.

Bare physics never resets. Where episodes end early (Hopper, Walker2d, Humanoid) its bodies lie on
the floor, so its row means little there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import machine, tables, timing

T = 20
SHARE, BEYOND_ENVPOOL, BEYOND_GYMNASIUM = 0.85, 1.6, 2.5


def main(argv: list[str] | None = None) -> int:
    """Prints a table per environment; returns 1 if ours differs from Gymnasium's."""
    parser = argparse.ArgumentParser(prog="python -m bench.mujoco_envs")
    parser.add_argument("env_ids", nargs="*", default=["HalfCheetah-v5"], metavar="ENV_ID")
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=20.0, help="for each environment")
    arguments = parser.parse_args(argv)
    quiet()
    print(_where())
    for env_id in arguments.env_ids:
        difference = check(env_id)
        print(f"\n## {env_id}, {arguments.num_envs} environments\n")
        if not difference <= 1e-9:
            print(f"Ours differs from Gymnasium's by {difference:g}: not timed.")
            return 1
        rates = measure(env_id, arguments.num_envs, arguments.threads, arguments.seconds)
        print(table(rates, arguments.threads))
    return 0


def check(env_id: str, n_steps: int = 50) -> float:
    """The largest difference in observations or rewards from Gymnasium's, with the same seeds."""
    mine, its = ours(env_id, 2, 1), gymnasium_sync(env_id, 2)
    worst = np.abs(mine.reset(seed=0)[0] - its.reset(seed=0)[0]).max()
    for act in _actions(mine, n_steps):
        (obs, rewards, *_), (obs2, rewards2, *_) = mine.step(act), its.step(act)
        worst = max(worst, np.abs(obs - obs2).max(), np.abs(rewards - rewards2).max())
    return float(worst)


def measure(
    env_id: str, num_envs: int, threads: list[int], seconds: float
) -> dict[tuple[str, int], float]:
    """{(who, threads): environment steps per second}."""
    runs = {("Gymnasium sync", 1): steps(gymnasium_sync(env_id, num_envs))}
    for n in threads:
        env = ours(env_id, num_envs, n)
        runs["bare physics", n] = bare(env, n)
        runs["batch physics", n] = batch(env, n)
        runs["ours, actions given", n] = steps(env)
        runs["ours, rollout with a 64-64 policy", n] = rollout(ours(env_id, num_envs, n), n)
        pool = envpool(env_id, num_envs, n)
        if pool is not None:
            runs["EnvPool", n] = steps(pool)
    contestants = {key: timing.Contestant(run) for key, run in runs.items()}
    times = timing.alternate(contestants, seconds)
    return {key: num_envs * T / each.median for key, each in times.items()}


def table(rates: dict[tuple[str, int], float], threads: list[int]) -> str:
    """Rates, and their share of bare physics on the same number of threads; then the targets."""
    rows = []
    for (who, n), rate in rates.items():
        physics = rates.get(("bare physics", n))
        share = tables.percent(rate / physics) if physics else None
        rows.append((who, n, f"{rate:,.0f}", share))
    text = tables.table(("", "threads", "steps/s", "of bare physics"), rows)
    return f"{text}\n\n{_targets(rates, max(threads))}"


def _targets(rates: dict[tuple[str, int], float], n: int) -> str:
    mine = rates["ours, rollout with a 64-64 policy", n]
    beside = [
        ("bare physics", rates["bare physics", n], SHARE),
        ("EnvPool", rates.get(("EnvPool", n)), BEYOND_ENVPOOL),
        ("Gymnasium sync", rates["Gymnasium sync", 1], BEYOND_GYMNASIUM),
    ]
    rows = [
        (who, tables.digits(mine / rate), tables.verdict(mine / rate, target))
        for who, rate, target in beside
        if rate
    ]
    return tables.table((f"the rollout, {n} threads, against", "ratio", "target"), rows)


# -- contestants: functions that make T steps of every environment ---------------------------------


def ours(env_id: str, num_envs: int, n_threads: int) -> Any:
    """Our environment."""
    from fasttrpo.envs import mujoco

    return mujoco.make(env_id, num_envs, n_threads=n_threads)


def gymnasium_sync(env_id: str, num_envs: int) -> Any:
    """Gymnasium's environments, stepped in turn."""
    import gymnasium
    from gymnasium.vector import AutoresetMode

    return gymnasium.make_vec(
        env_id,
        num_envs=num_envs,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
    )


def envpool(env_id: str, num_envs: int, n_threads: int) -> Any:
    """EnvPool's environments, synchronous; None if it is not installed."""
    try:
        import envpool as library
    except ImportError:
        return None
    return library.make(
        env_id, env_type="gymnasium", num_envs=num_envs, num_threads=n_threads, seed=0
    )


def steps(env: Any) -> Callable[[], None]:
    """Calls `step` with given actions."""
    env.reset()
    size = np.shape(env.action_space.low)
    actions = _actions(env) if len(size) == 2 else _actions_of_one(env)

    def run() -> None:
        for act in actions:
            env.step(act)

    return run


def rollout(env: Any, n_threads: int) -> Callable[[], None]:
    """The library's rollout: policy, values, sampling, bookkeeping, environment."""
    from bench.runs import ready
    from fasttrpo.training.trainer import no_callback

    trainer = ready(env, n_steps=T, seed=0, n_threads=n_threads)

    def run() -> None:
        trainer.collect(no_callback(trainer))
        trainer.agent.discard()

    return run


def batch(env: Any, n_threads: int) -> Callable[[], None]:
    """One `mujoco.batch` step per step of the environment: physics, with a fork and a join."""
    simulations, ctrl, actions = _simulations(env, n_threads)
    skip = env.task.frame_skip

    def run() -> None:
        for act in actions:
            ctrl[...] = act
            simulations.step(nstep=skip)

    return run


def bare(env: Any, n_threads: int, n_steps: int = T) -> Callable[[], None]:
    """All steps in one call: each thread loops over mj_step."""
    simulations, _, actions = _simulations(env, n_threads, n_steps)
    control = np.repeat(actions.swapaxes(0, 1), env.task.frame_skip, axis=1)
    control = np.ascontiguousarray(control, dtype=np.float64)

    def run() -> None:
        simulations.rollout(control.shape[1], control, record=())

    return run


def _simulations(env: Any, n_threads: int, n_steps: int = T) -> tuple[Any, np.ndarray, np.ndarray]:
    """A batch of the environment's model in its initial states; ctrl; actions."""
    from mujoco.batch import Batch

    simulations = Batch(env.task.model, env.num_envs, n_threads)
    simulations.reset()
    for sim, rng in enumerate(env.np_random):
        simulations.qpos[sim], simulations.qvel[sim] = env.task.start(rng)
    return simulations, simulations.bind("ctrl"), _actions(env, n_steps)


def _actions(env: Any, n_steps: int = T) -> np.ndarray:
    """(T, E, A) float32, uniform within the bounds."""
    low, high = env.action_space.low, env.action_space.high
    drawn = np.random.default_rng(0).uniform(low, high, (n_steps, *low.shape))
    return drawn.astype(np.float32)


def _actions_of_one(env: Any) -> np.ndarray:
    """The same for a single environment's `action_space` (EnvPool), in its dtype."""
    space, num_envs = env.action_space, len(env.reset()[0])
    shape = (T, num_envs, *space.shape)
    return np.random.default_rng(0).uniform(space.low, space.high, shape).astype(space.dtype)


def quiet() -> None:
    """Silences MuJoCo's warnings about the models that ship with Gymnasium."""
    import mujoco

    mujoco.set_mju_user_warning(lambda _: None)


def _where() -> str:
    found = machine.describe()
    packages = {name: machine.version(name) for name in ("mujoco", "gymnasium", "envpool")}
    return f"{found['processor']}, {found['cores']} cores; {found['library']}; {packages}"


if __name__ == "__main__":
    sys.exit(main())
