"""`fasttrpo eval RUN`: evaluates a trained model, as `train` does at its end."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fasttrpo.cli import consent, progress
from fasttrpo.cli.arguments import Parser, add_progress, check_count
from fasttrpo.cli.errors import UsageError
from fasttrpo.cli.runs import as_typed, environment_of, full
from fasttrpo.files.run_folder import MODEL

if TYPE_CHECKING:
    from fasttrpo.training.episodes import Episode

EVAL_EPISODES = 100
EVAL_SEED = 0


def add(commands: Any) -> Parser:
    """Declares the command."""
    what = "evaluate a trained model over complete episodes, as train does at its end"
    evaluate: Parser = commands.add_parser("eval", description=what, allow_abbrev=False)
    evaluate.set_defaults(run=run)
    add_played(evaluate, EVAL_EPISODES)
    add_progress(evaluate)
    return evaluate


def add_played(parser: Parser, n_episodes: int) -> None:
    """Declares the run, and what is played of it."""
    parser.add("Run", "folder", metavar="RUN", type=Path, help="folder written by train")
    what = "the run's environment; naming it trusts its code, like --trust"
    parser.add("Run", "env_id", metavar="ENV_ID", nargs="?", type=as_typed, help=what)
    consent.add(parser)
    for name, default, what in (
        ("--episodes", n_episodes, f"number of episodes (default: {n_episodes})"),
        ("--seed", EVAL_SEED, f"seed of the environments (default: {EVAL_SEED})"),
    ):
        parser.add("Episodes", name, type=int, default=default, metavar="N", help=what)
    what = "sample actions (default: take the most likely ones)"
    parser.add("Episodes", "--stochastic", action="store_true", help=what)


def run(args: argparse.Namespace) -> int:
    """Evaluates the run's model and prints its return."""
    check_count("--episodes", args.episodes)
    check_count("--seed", args.seed, low=0)
    env_id, model = load(args)
    mode = not args.stochastic
    print(describe(env_id, evaluate(model, env_id, args.episodes, args.seed, mode, args.progress)))
    return 0


def load(args: argparse.Namespace, file: str = MODEL) -> tuple[str, Any]:
    """The run's environment, and its model. Raises UsageError unless the user agrees to run the
    environment's code.
    """
    from fasttrpo.trpo import TRPO

    env_id = environment_of(args.folder)
    if args.env_id is not None:
        if full(args.env_id) != full(env_id):
            raise UsageError(f"{args.folder} is a run of {env_id}, not {args.env_id}")
        consent.admit(args.env_id)
    consent.require(args.folder, env_id, args.trust)
    return env_id, TRPO.load(args.folder / file, env_kwargs=consent.env_kwargs_of(args.folder))


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
    return summary(model, list(shown.counted(played)), seed, deterministic)


def summary(
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
