"""`fasttrpo eval RUN`: evaluates a trained model, as `train` does at its end."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fasttrpo.cli import consent, progress
from fasttrpo.cli.arguments import add_command, add_progress, check_count
from fasttrpo.cli.errors import UsageError
from fasttrpo.cli.runs import as_typed, environment_of, full
from fasttrpo.files.run_folder import MODEL

if TYPE_CHECKING:
    from fasttrpo.training.episodes import Episode

EVAL_EPISODES = 100
EVAL_SEED = 0


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command."""
    evaluate = add_command(
        commands,
        "eval",
        "Evaluate a trained model over complete episodes, as `train` does at its end.",
        "fasttrpo eval RUN [ENV_ID] [OPTIONS]",
        (
            "fasttrpo eval runs/CartPole-v1-seed0",
            "fasttrpo eval runs/CartPole-v1-seed0 --episodes 1000 --stochastic",
        ),
    )
    evaluate.set_defaults(run=run)
    evaluate.add("Run", "folder", metavar="RUN", type=Path, help="folder written by train")
    what = "the run's environment; naming it trusts its code, like --trust"
    evaluate.add("Run", "env_id", metavar="ENV_ID", nargs="?", type=as_typed, help=what)
    consent.add(evaluate, "Run")
    for name, default, what in (
        ("--episodes", EVAL_EPISODES, f"number of episodes (default: {EVAL_EPISODES})"),
        ("--seed", EVAL_SEED, f"seed of the environments (default: {EVAL_SEED})"),
    ):
        evaluate.add("Episodes", name, type=int, default=default, metavar="N", help=what)
    what = "sample actions (default: take the most likely ones)"
    evaluate.add("Episodes", "--stochastic", action="store_true", help=what)
    add_progress(evaluate)
    return evaluate


def run(args: argparse.Namespace) -> int:
    """Evaluates the run's model and prints its return."""
    from fasttrpo.trpo import TRPO

    check_count("--episodes", args.episodes)
    check_count("--seed", args.seed, low=0)
    env_id = environment_of(args.folder)
    if args.env_id is not None:
        if full(args.env_id) != full(env_id):
            raise UsageError(f"{args.folder} is a run of {env_id}, not {args.env_id}")
        consent.admit(args.env_id)
    consent.require(args.folder, env_id, args.trust)
    model = TRPO.load(args.folder / MODEL, env_kwargs=consent.env_kwargs_of(args.folder))
    mode = not args.stochastic
    print(describe(env_id, evaluate(model, env_id, args.episodes, args.seed, mode, args.progress)))
    return 0


def evaluate(
    model: Any,
    env_id: str,
    episodes: int,
    seed: int,
    deterministic: bool,
    progress_bar: bool | None,
) -> dict[str, Any]:
    """Runs the episodes; returns the contents of evaluation.json."""
    from fasttrpo.evaluate import play

    shown = progress.Episodes(episodes, progress_bar)
    played = play(model, env_id, episodes, deterministic, seed, shown.watch)
    return result_of(model, list(shown.counted(played)), seed, deterministic)


def result_of(
    model: Any, played: Sequence[Episode], seed: int, deterministic: bool
) -> dict[str, Any]:
    """The contents of evaluation.json."""
    import numpy as np

    from fasttrpo.training.episodes import success_rate

    returns, lengths = [each.total for each in played], [each.length for each in played]
    rate = success_rate(played)
    return {
        "mean_return": float(np.mean(returns)),
        "std_return": float(np.std(returns)),
        "episodes": len(played),
        "deterministic": deterministic,
        "seed": seed,
        "num_timesteps": model.num_timesteps,
        "returns": returns,
        "lengths": lengths,
        **({} if rate is None else {"success_rate": rate}),
    }


def describe(env_id: str, result: dict[str, Any]) -> str:
    """The result in one line."""
    kind = "deterministic" if result["deterministic"] else "stochastic"
    mean, std, episodes = (result[name] for name in ("mean_return", "std_return", "episodes"))
    rate = f", success in {result['success_rate']:.0%}" if "success_rate" in result else ""
    return f"{env_id}: return {mean:.2f} +- {std:.2f} over {episodes} {kind} episodes{rate}"
