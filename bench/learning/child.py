"""One process that trains: `python -m bench.learning.child REQUEST RESULT`.

Started by `processes.py`, which times the whole of it. REQUEST is JSON, a function of this module's
and its arguments; what it found goes to the file RESULT. Evaluation, its imports included, is
taken off the time.
"""

from __future__ import annotations

from time import perf_counter

BEGUN = perf_counter()

import json  # noqa: E402
import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from typing import Any  # noqa: E402

# Episodes of a policy's evaluation: the mean of each number of fresh ones must reach the target.
# The last is large, since the first policy that is lucky enough would be taken for good.
EPISODES = (20, 100, 1000)
SIDE_BY_SIDE = 250


class Judge:
    """Evaluates a model after each iteration, off the clock, until the last target is reached."""

    def __init__(self, env_id: str, targets: Sequence[float], budget: float) -> None:
        self._env_id, self._left, self._budget = env_id, list(targets), budget
        self._evaluations = 0
        self._envs: dict[int, Any] = {}
        self.evaluating = 0.0
        self.reached: list[dict[str, float]] = []

    @property
    def clock(self) -> float:
        """Seconds since this module began, evaluations off."""
        return perf_counter() - BEGUN - self.evaluating

    def goes_on(self, model: Any, n_steps: int) -> bool:
        """False where the last target is reached or the time is over."""
        clock, started = self.clock, perf_counter()
        while self._left and (mean := self._mean(model, self._left[0])) is not None:
            target = self._left.pop(0)
            found = {"target": target, "seconds": clock, "steps": n_steps, "mean": mean}
            self.reached.append(found)
        self.evaluating += perf_counter() - started
        return bool(self._left) and clock < self._budget

    def _mean(self, model: Any, target: float) -> float | None:
        """Of the last evaluation; None if one stays below the target."""
        from fasttrpo import evaluate_policy

        for n in EPISODES:
            self._evaluations += 1
            mean, _ = evaluate_policy(model, self._env(n), n, seed=self._evaluations)
            if mean < target:
                return None
        return mean

    def _env(self, n_episodes: int) -> Any:
        """Not what the model trains in, and the same for everybody."""
        from fasttrpo.envs import CompiledVectorEnv

        n_envs = min(n_episodes, SIDE_BY_SIDE)
        if n_envs not in self._envs:
            self._envs[n_envs] = CompiledVectorEnv(self._env_id, n_envs)
        return self._envs[n_envs]


def ours(
    env_id: str, seed: int, targets: Sequence[float], budget: float, limit: int
) -> dict[str, Any]:
    """This library with its built-in settings."""
    from fasttrpo import TRPO
    from fasttrpo.settings.tuned import settings_for

    judge = Judge(env_id, targets, budget)
    model = TRPO("MlpPolicy", env_id, seed=seed, **settings_for(env_id).settings)
    model.learn(limit, callback=lambda record: judge.goes_on(model, record["num_timesteps"]))
    return _found(judge)


def sb3_contrib(
    env_id: str,
    seed: int,
    targets: Sequence[float],
    budget: float,
    limit: int,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """sb3-contrib's TRPO in Gymnasium's environments."""
    from bench.learning import sb3

    judge = Judge(env_id, targets, budget)
    sb3.train(env_id, seed, settings, limit, judge.goes_on)
    return _found(judge)


def throughput(**arguments: Any) -> dict[str, Any]:
    """See throughput.py."""
    from bench.learning import throughput

    return throughput.measure(**arguments)


def _found(judge: Judge) -> dict[str, Any]:
    return {"reached": judge.reached, "evaluating": judge.evaluating, "stopped": judge.clock}


FUNCTIONS = {"ours": ours, "sb3-contrib": sb3_contrib, "throughput": throughput}


def main() -> None:
    """Writes {"skipped": why} where a peer is missing. "lived" is the time in this module."""
    request, result = json.loads(sys.argv[1]), sys.argv[2]
    try:
        found = FUNCTIONS[request["function"]](**request["arguments"])
    except ImportError as error:
        found = {"skipped": str(error)}
    found["lived"] = perf_counter() - BEGUN
    with open(result, "w", encoding="utf-8") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main()
