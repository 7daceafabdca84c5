"""`fasttrpo eval RUN`: evaluates a trained model, as `train` does at its end."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fasttrpo.cli import consent
from fasttrpo.cli.arguments import add_progress, check_count
from fasttrpo.cli.errors import UsageError
from fasttrpo.cli.runs import as_typed, environment_of, full
from fasttrpo.files.run_folder import MODEL

EVAL_EPISODES = 100
EVAL_SEED = 0


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command."""
    what = "evaluate a trained model"
    evaluate = commands.add_parser("eval", help=what, description=what, allow_abbrev=False)
    evaluate.set_defaults(run=run)
    add_played(evaluate, EVAL_EPISODES)
    add_progress(evaluate)
    return evaluate


def add_played(parser: argparse.ArgumentParser, n_episodes: int) -> None:
    """Declares the run, and what is played of it."""
    parser.add_argument("folder", metavar="RUN", type=Path, help="folder written by train")
    what = "the run's environment; naming it trusts its code, like --trust"
    parser.add_argument("env_id", metavar="ENV_ID", nargs="?", type=as_typed, help=what)
    consent.add(parser)
    episodes = f"number of episodes (default: {n_episodes})"
    seed = f"seed of the environments (default: {EVAL_SEED})"
    parser.add_argument("--episodes", type=int, default=n_episodes, metavar="N", help=episodes)
    parser.add_argument("--seed", type=int, default=EVAL_SEED, metavar="N", help=seed)
    what = "sample actions (default: take the most likely ones)"
    parser.add_argument("--stochastic", action="store_true", help=what)


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
    env_kwargs = consent.env_kwargs_of(args.folder)
    return env_id, TRPO.load(args.folder / file, env_kwargs=env_kwargs)


def evaluate(
    model: Any,
    env_id: str,
    episodes: int,
    seed: int,
    deterministic: bool,
    progress_bar: bool | None,
) -> dict[str, Any]:
    """Runs the episodes; returns the contents of evaluation.json."""
    from tqdm.auto import tqdm

    from fasttrpo.evaluate import play
    from fasttrpo.training.progress_bar import hidden

    played = play(model, env_id, episodes, deterministic, seed)
    bar = tqdm(played, total=episodes, desc="evaluation", disable=hidden(progress_bar))
    return summary(model, list(bar), seed, deterministic)


def summary(model: Any, ended: list[Any], seed: int, deterministic: bool) -> dict[str, Any]:
    """What evaluation.json contains of these episodes."""
    import numpy as np

    from fasttrpo.training.episodes import success_rate

    returns, lengths = [each.total for each in ended], [each.length for each in ended]
    rate = success_rate(ended)
    return {
        "mean_return": float(np.mean(returns)),
        "std_return": float(np.std(returns)),
        "episodes": len(ended),
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
