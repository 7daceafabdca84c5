"""One process that trains: `python -m bench.learning.child REQUEST RESULT`.

Started and timed as a whole by `processes.py`. REQUEST is JSON: the name of a function of this
module and its arguments. The results are written to the file RESULT. Evaluations, including their
imports, are subtracted from the time.
"""

from __future__ import annotations

from time import perf_counter

START = perf_counter()

import json  # noqa: E402
import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from typing import Any  # noqa: E402

# Numbers of evaluation episodes: the mean of each must reach the target, on fresh episodes. The
# last is large, since otherwise the first lucky policy would pass.
EPISODES = (20, 100, 1000)
PARALLEL_ENVS = 250


class Judge:
    """Evaluates a model after each iteration, off the clock, until it reaches the last target."""

    def __init__(self, env_id: str, targets: Sequence[float], budget: float) -> None:
        self._env_id, self._left, self._budget = env_id, list(targets), budget
        self._evaluations = 0
        self._envs: dict[int, Any] = {}
        self.evaluating = 0.0
        self.reached: list[dict[str, float]] = []

    @property
    def clock(self) -> float:
        """Seconds since this module started, without evaluations."""
        return perf_counter() - START - self.evaluating

    def should_continue(self, model: Any, n_steps: int) -> bool:
        """False if the last target is reached or the budget is used up."""
        clock, started = self.clock, perf_counter()
        while self._left and (mean := self._mean(model, self._left[0])) is not None:
            target = self._left.pop(0)
            found = {"target": target, "seconds": clock, "steps": n_steps, "mean": mean}
            self.reached.append(found)
        self.evaluating += perf_counter() - started
        return bool(self._left) and clock < self._budget

    def _mean(self, model: Any, target: float) -> float | None:
        """The mean of the last evaluation, or None if one is below the target."""
        from fasttrpo import evaluate_policy

        for n in EPISODES:
            self._evaluations += 1
            mean, _ = evaluate_policy(model, self._env(n), n, seed=self._evaluations)
            if mean < target:
                return None
        return mean

    def _env(self, n_episodes: int) -> Any:
        """Environments for evaluation: not those of training, and the same for every library."""
        from fasttrpo.envs import CompiledVectorEnv

        n_envs = min(n_episodes, PARALLEL_ENVS)
        if n_envs not in self._envs:
            self._envs[n_envs] = CompiledVectorEnv(self._env_id, n_envs)
        return self._envs[n_envs]


def ours(
    env_id: str, seed: int, targets: Sequence[float], budget: float, limit: int
) -> dict[str, Any]:
    """Trains with this library and its built-in settings."""
    from fasttrpo import TRPO
    from fasttrpo.settings.tuned import settings_for

    judge = Judge(env_id, targets, budget)
    model = TRPO("MlpPolicy", env_id, seed=seed, **settings_for(env_id).settings)
    model.learn(
        limit, callback=lambda record: judge.should_continue(model, record["num_timesteps"])
    )
    return _found(judge)


def sb3_contrib(
    env_id: str,
    seed: int,
    targets: Sequence[float],
    budget: float,
    limit: int,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Trains with sb3-contrib's TRPO in Gymnasium's environments."""
    from bench.learning import sb3

    judge = Judge(env_id, targets, budget)
    sb3.train(env_id, seed, settings, limit, judge.should_continue)
    return _found(judge)


def throughput(**arguments: Any) -> dict[str, Any]:
    """See throughput.py."""
    from bench.learning import throughput

    return throughput.measure(**arguments)


def _found(judge: Judge) -> dict[str, Any]:
    return {"reached": judge.reached, "evaluating": judge.evaluating, "stopped": judge.clock}


FUNCTIONS = {"ours": ours, "sb3-contrib": sb3_contrib, "throughput": throughput}


def main() -> None:
    """Writes {"skipped": why} if a peer is missing. "lived" is the time spent in this module."""
    request, result = json.loads(sys.argv[1]), sys.argv[2]
    try:
        found = FUNCTIONS[request["function"]](**request["arguments"])
    except ImportError as error:
        found = {"skipped": str(error)}
    found["lived"] = perf_counter() - START
    with open(result, "w", encoding="utf-8") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main()
