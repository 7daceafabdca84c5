"""The command line: `fasttrpo train ENV_ID`, `fasttrpo eval RUN`, `fasttrpo info`.

Exit codes: 0 done, 2 the command was wrong (one line says how), 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import argparse
import ast
import json
import platform
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fasttrpo import backend
from fasttrpo._version import __version__
from fasttrpo.envs.failures import RAN
from fasttrpo.envs.names import is_in_source, is_library
from fasttrpo.presets import settings_for
from fasttrpo.settings import POLICIES
from fasttrpo.suggest import nearest, unknown

MODEL = "model.npz"
EVAL_EPISODES = 100
EVAL_SEED = 0
INTERRUPTED = 130
# Options of `train` that are settings of the same name; None means: as the preset says.
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
# What the library answers to values that it cannot work with.
_REFUSALS = (ValueError, OverflowError, MemoryError, ImportError, FileNotFoundError)


class UsageError(Exception):
    """The command cannot be carried out as it was given; one line for the user."""


class _Parser(argparse.ArgumentParser):
    """argparse, but an error is one line."""

    def error(self, message: str) -> None:
        raise UsageError(message)


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    try:
        args = _parse(sys.argv[1:] if argv is None else argv)
        return args.run(args)
    except UsageError as error:
        print(f"fasttrpo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fasttrpo: interrupted", file=sys.stderr)
        return INTERRUPTED
    except _REFUSALS as error:
        from fasttrpo.environments import is_environments
        from fasttrpo.envs import SimulationError

        # What went wrong inside the environment is for its author, who needs the traceback.
        if is_environments(error) and not isinstance(error, SimulationError):
            raise
        print(f"fasttrpo: {_line(error)}", file=sys.stderr)
        return 2


def _line(error: BaseException) -> str:
    """The error in one line; where the user's own file raised it, with the place and its type."""
    kind, words = type(error).__name__, " ".join(str(error).split())
    for note in getattr(error, "__notes__", ()):
        if note.startswith(RAN):
            return f"{note.removeprefix(RAN)}: {kind}: {words}"
    return words or kind


# -- arguments ------------------------------------------------------------------------------------


def _parse(argv: list[str]) -> argparse.Namespace:
    what = "Trains policies by Trust Region Policy Optimization, and evaluates them."
    parser = _Parser(prog="fasttrpo", description=what, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"fasttrpo {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    parsers = {
        "train": _add_train(commands),
        "eval": _add_eval(commands),
        "info": _add_info(commands),
    }
    if argv and not argv[0].startswith("-") and argv[0] not in parsers:
        raise UsageError(unknown("command", argv[0], parsers))
    args, extra = parser.parse_known_args(argv)
    if extra:
        options = [o for a in parsers[args.command]._actions for o in a.option_strings]
        what = "option" if extra[0].startswith("-") else "argument"
        raise UsageError(unknown(what, extra[0].split("=")[0], options))
    return args


def _add_train(commands: Any) -> argparse.ArgumentParser:
    train = commands.add_parser("train", help="train on an environment", allow_abbrev=False)
    train.set_defaults(run=_train)
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
    _add_progress(train)
    train.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="any setting of TRPO"
    )
    return train


def _add_eval(commands: Any) -> argparse.ArgumentParser:
    evaluate = commands.add_parser("eval", help="evaluate a trained model", allow_abbrev=False)
    evaluate.set_defaults(run=_eval)
    evaluate.add_argument("folder", metavar="RUN", type=Path, help="a folder written by train")
    episodes, seed = f"to play (default {EVAL_EPISODES})", f"of the environments ({EVAL_SEED})"
    evaluate.add_argument("--episodes", type=int, default=EVAL_EPISODES, metavar="N", help=episodes)
    evaluate.add_argument("--seed", type=int, default=EVAL_SEED, metavar="N", help=seed)
    evaluate.add_argument("--stochastic", action="store_true", help="draw actions")
    _add_progress(evaluate)
    return evaluate


def _add_progress(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="progress bars (default: on a terminal)",
    )


def _add_info(commands: Any) -> argparse.ArgumentParser:
    info = commands.add_parser("info", help="what runs here", allow_abbrev=False)
    info.set_defaults(run=_info)
    return info


# -- train ----------------------------------------------------------------------------------------


def _train(args: argparse.Namespace) -> int:
    preset = settings_for(args.env_id, args.policy)
    total = preset.total_timesteps if args.total_timesteps is None else args.total_timesteps
    _check_count("--total-timesteps", total)
    model = _make_model(args, preset.settings | _given(args))
    config = _config(args, model, total)
    wanted = args.out or Path("runs") / f"{_as_name(args.env_id)}-seed{args.seed}"
    try:
        folder = _new_folder(wanted)
        _write_json(folder / "config.json", config)
    except OSError as error:
        raise UsageError(f"cannot write to {str(wanted)!r}: {error.strerror}") from error
    _tell_environments(args.env_id, model)
    if not _learn(model, total, folder, progress_bar=args.progress):
        print(f"interrupted at step {model.num_timesteps}; the model is in {folder / MODEL}")
        return INTERRUPTED
    result = _evaluate(model, args.env_id, EVAL_EPISODES, EVAL_SEED, True, args.progress)
    _write_json(folder / "eval.json", result)
    print(f"saved in {folder}")
    return 0


def _check_count(option: str, value: int, low: int = 1) -> None:
    if value < low:
        raise UsageError(f"{option} must be an integer >= {low}, got {value}")


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


def _make_model(args: argparse.Namespace, settings: dict[str, Any]) -> Any:
    import gymnasium

    from fasttrpo.trpo import TRPO

    try:
        return TRPO(args.policy, args.env_id, **settings)
    except (*_REFUSALS, TypeError, gymnasium.error.Error) as error:
        raise UsageError(_line(error)) from error


def _tell_environments(env_id: str, model: Any) -> None:
    """Says so where the environments are not Gymnasium's, though the id is."""
    kind = type(model.get_env())
    if kind.__module__.startswith("fasttrpo.") and not _is_file(env_id):
        print(f"{env_id}: fasttrpo's own environments (--env-backend gymnasium takes Gymnasium's)")


def _is_file(env_id: str) -> bool:
    return is_library(env_id) or is_in_source(env_id)


def _as_name(env_id: str) -> str:
    name = Path(env_id).name.replace(".py:", "_") if _is_file(env_id) else env_id
    name = Path(name).stem if is_library(env_id) else name
    return name.replace("/", "_").replace(":", "_")


def _new_folder(wanted: Path) -> Path:
    """Makes the folder, numbered -2, -3, ... if there is one already."""
    folder, number = wanted, 1
    while True:
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1
            folder = wanted.with_name(f"{wanted.name}-{number}")


def _config(args: argparse.Namespace, model: Any, total: int) -> dict[str, Any]:
    """Everything that makes the run what it is."""
    return {
        "env_id": str(Path(args.env_id).resolve()) if _is_file(args.env_id) else args.env_id,
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

    with ProgressFile(folder / "progress.csv") as progress:
        try:
            model.learn(total, callback=progress.write, progress_bar=progress_bar)
        except KeyboardInterrupt:
            return False
        finally:
            model.save(folder / MODEL)
    return True


# -- eval and info --------------------------------------------------------------------------------


def _eval(args: argparse.Namespace) -> int:
    from fasttrpo.trpo import TRPO

    _check_count("--episodes", args.episodes)
    _check_count("--seed", args.seed, low=0)
    env_id = _run_environment(args.folder)
    try:
        model = TRPO.load(args.folder / MODEL)
    except OSError as error:
        raise UsageError(_line(error)) from error
    _evaluate(model, env_id, args.episodes, args.seed, not args.stochastic, args.progress)
    return 0


def _run_environment(folder: Path) -> str:
    """The environment id of a run. UsageError names the nearest run if there is none such."""
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))["env_id"]
    except FileNotFoundError:
        places = {folder.parent, Path("runs")}
        known = [str(config.parent) for p in places for config in p.glob("*/config.json")]
        match = nearest(str(folder), known)
        hint = f"; did you mean {match!r}?" if match else ""
        raise UsageError(f"there is no run {str(folder)!r}{hint}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder / 'config.json'} is damaged: {error}") from error


def _evaluate(
    model: Any,
    env_id: str,
    episodes: int,
    seed: int,
    deterministic: bool,
    progress_bar: bool | None,
) -> dict[str, Any]:
    """Plays, prints and returns the result."""
    import numpy as np
    from tqdm.auto import tqdm

    from fasttrpo.evaluate import play
    from fasttrpo.logger import hidden

    played = play(model, env_id, episodes, deterministic, seed)
    bar = tqdm(played, total=episodes, desc="evaluation", disable=hidden(progress_bar))
    returns, lengths = zip(*[(e.total, e.length) for e in bar], strict=True)
    mean, std = float(np.mean(returns)), float(np.std(returns))
    kind = "deterministic" if deterministic else "stochastic"
    print(f"{env_id}: return {mean:.2f} +- {std:.2f} over {episodes} {kind} episodes")
    return {
        "mean_return": mean,
        "std_return": std,
        "episodes": episodes,
        "deterministic": deterministic,
        "seed": seed,
        "num_timesteps": model.num_timesteps,
        "returns": returns,
        "lengths": lengths,
    }


def _info(args: argparse.Namespace) -> int:
    for name, value in backend.describe().items():
        print(f"{name + ':':<17} {value}")
    return 0


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
