"""`fasttrpo train ENV_ID`: trains, saves and evaluates a model in a folder of its own."""

from __future__ import annotations

import argparse
import ast
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fasttrpo import backend
from fasttrpo.cli import eval as evaluation
from fasttrpo.cli.arguments import add_progress, check_count
from fasttrpo.cli.errors import INTERRUPTED, REFUSALS, UsageError, line
from fasttrpo.cli.runs import (
    CONFIG,
    EVALUATION,
    MODEL,
    PROGRESS,
    as_name,
    is_file,
    new_folder,
    write_json,
)
from fasttrpo.presets import settings_for
from fasttrpo.settings import POLICIES

# Options that are settings of the same name; None means: as the preset says.
_SETTINGS = (
    "n_envs",
    "n_steps",
    "n_threads",
    "dtype",
    "backend",
    "env_backend",
    "target_kl",
    "critic",
    "preconditioner",
)
# All that has an option of its own, and so is none of --set's.
_OPTIONS = (*_SETTINGS, "policy", "seed", "total_timesteps", "verbose")


# -- arguments ------------------------------------------------------------------------------------


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command."""
    train = commands.add_parser("train", help="train on an environment", allow_abbrev=False)
    train.set_defaults(run=run)
    what = "a Gymnasium environment (CartPole-v1), a shared library (./my_sim.so), or a "
    what += "NumbaEnvironment in a file (my_sim.py:walk)"
    train.add_argument("env_id", metavar="ENV_ID", help=what)
    train.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")
    train.add_argument("--total-timesteps", type=int, metavar="N", help="environment steps")
    train.add_argument("--n-envs", type=int, metavar="N", help="environments side by side")
    train.add_argument("--n-steps", type=int, metavar="N", help="steps per environment, iteration")
    train.add_argument("--n-threads", type=int, metavar="N", help="default: the cores there are")
    train.add_argument("--policy", default=POLICIES[0], help=" or ".join(POLICIES))
    train.add_argument("--out", type=Path, metavar="FOLDER", help="default runs/ENV_ID-seedN")
    train.add_argument("--dtype", help="float32 or float64")
    train.add_argument("--backend", help="compiled or portable")
    ours = "native or gymnasium (default: native where fasttrpo has the environment)"
    train.add_argument("--env-backend", help=ours)
    train.add_argument("--target-kl", type=float, metavar="KL", help="size of the trust region")
    train.add_argument("--critic", help="kfac, gauss_newton, adam or ridge")
    train.add_argument("--preconditioner", help="kfac or none")
    train.add_argument("--verbose", action="store_true", help="one table row per iteration")
    add_progress(train)
    train.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="any setting of TRPO"
    )
    return train


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """The settings named on the command line."""
    options = {name: getattr(args, name) for name in _SETTINGS}
    given = {name: value for name, value in options.items() if value is not None}
    return given | {"seed": args.seed, "verbose": int(args.verbose)} | _assignments(args.set)


def _assignments(pairs: list[str]) -> dict[str, Any]:
    """NAME=VALUE pairs; a VALUE is a Python literal, or else a word."""
    settings = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"--set takes NAME=VALUE, got {pair!r}")
        if name in _OPTIONS:
            raise UsageError(f"--set {name}: take the option --{name.replace('_', '-')}")
        try:
            settings[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError):
            settings[name] = text
    return settings


# -- the run --------------------------------------------------------------------------------------


def run(args: argparse.Namespace) -> int:
    """Trains in a new folder, then evaluates."""
    preset = settings_for(args.env_id, args.policy)
    total = preset.total_timesteps if args.total_timesteps is None else args.total_timesteps
    check_count("--total-timesteps", total)
    model = _make_model(args, preset.settings | _given(args))
    config = _config(args, model, total)
    wanted = args.out or Path("runs") / f"{as_name(args.env_id)}-seed{args.seed}"
    try:
        folder = new_folder(wanted)
        write_json(folder / CONFIG, config)
    except OSError as error:
        raise UsageError(f"cannot write to {str(wanted)!r}: {error.strerror}") from error
    _tell_environments(args.env_id, model)
    if not _learn(model, total, folder, progress_bar=args.progress):
        print(f"interrupted at step {model.num_timesteps}; the model is in {folder / MODEL}")
        return INTERRUPTED
    episodes, seed = evaluation.EVAL_EPISODES, evaluation.EVAL_SEED
    result = evaluation.evaluate(model, args.env_id, episodes, seed, True, args.progress)
    write_json(folder / EVALUATION, result)
    print(f"saved in {folder}")
    return 0


def _make_model(args: argparse.Namespace, settings: dict[str, Any]) -> Any:
    import gymnasium

    from fasttrpo.trpo import TRPO

    try:
        return TRPO(args.policy, args.env_id, **settings)
    except (*REFUSALS, TypeError, gymnasium.error.Error) as error:
        raise UsageError(line(error)) from error


def _tell_environments(env_id: str, model: Any) -> None:
    """Says so where the environments are not Gymnasium's, though the id is."""
    kind = type(model.get_env())
    if kind.__module__.startswith("fasttrpo.") and not is_file(env_id):
        print(f"{env_id}: fasttrpo's own environments (--env-backend gymnasium takes Gymnasium's)")


def _config(args: argparse.Namespace, model: Any, total: int) -> dict[str, Any]:
    """Everything that makes the run what it is."""
    return {
        "env_id": str(Path(args.env_id).resolve()) if is_file(args.env_id) else args.env_id,
        "total_timesteps": total,
        "settings": asdict(model.settings),
        "system": backend.describe(model.settings.backend, model.settings.n_threads),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "gymnasium")},
        },
    }


def _learn(model: Any, total: int, folder: Path, progress_bar: bool | None) -> bool:
    """Trains with a line of progress.csv per iteration; False if Ctrl-C stopped it.

    The model is saved whatever happens.
    """
    from fasttrpo.logger import ProgressFile

    with ProgressFile(folder / PROGRESS) as progress:
        try:
            model.learn(total, callback=progress.write, progress_bar=progress_bar)
        except KeyboardInterrupt:
            return False
        finally:
            model.save(folder / MODEL)
    return True
