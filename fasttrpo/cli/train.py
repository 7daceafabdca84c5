"""`fasttrpo train ENV_ID`: trains and evaluates a model in a new folder."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Callable
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from fasttrpo.cli import consent, logs, resume, seeds, training
from fasttrpo.cli.arguments import add_progress, check_count
from fasttrpo.cli.errors import UsageError, line
from fasttrpo.cli.runs import as_name, as_typed, full, is_file, new_folder, write_json
from fasttrpo.cli.signals import as_keyboard_interrupt
from fasttrpo.cli.training import CHECKPOINT_EVERY
from fasttrpo.files.atomic import alone_in
from fasttrpo.files.run_folder import CHECKPOINT, CONFIG
from fasttrpo.settings import PEERS, POLICIES
from fasttrpo.settings.critics import CRITICS
from fasttrpo.settings.tuned import settings_for

SEED = 0
# Options that are settings of the same name. None: the preset or tuned settings decide.
_SETTINGS = (
    "preset",
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
# Names that --set rejects, because they have options.
_OPTIONS = (*_SETTINGS, "policy", "seed", "seeds", "jobs", "total_timesteps", "verbose")


# -- arguments ------------------------------------------------------------------------------------


def _count(text: str) -> int:
    """An integer; 1e6 is accepted too."""
    try:
        if (number := float(text)).is_integer():
            return int(number)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"must be an integer, got {text!r}")


def _number_or_word(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


# Options: metavar, type and help.
_ARGUMENTS: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "--seed": ("N", int, f"random seed (default: {SEED})"),
    "--seeds": (
        "SEEDS",
        str,
        "train several seeds in parallel, one thread each: 0-9 or 0,3,5; writes the runs to "
        "runs/ENV_ID/seed0 and so on",
    ),
    "--jobs": ("N", int, "number of seeds trained at once (default: as many as the cores allow)"),
    "--total-timesteps": ("N", _count, "environment steps in total (default: depends on ENV_ID)"),
    "--n-envs": ("N", int, "number of parallel environments"),
    "--n-steps": ("N", int, "steps per environment and iteration"),
    "--n-threads": ("N", int, "number of threads (default: number of cores)"),
    "--preset": ("NAME", str, f"reproduce another library's algorithm: {', '.join(PEERS)}"),
    "--policy": ("POLICY", str, f"{' or '.join(POLICIES)} (default: {POLICIES[0]})"),
    "--out": ("FOLDER", Path, "folder to create for the run (default: runs/ENV_ID-seedN)"),
    "--dtype": ("DTYPE", str, "precision: float32 (default) or float64"),
    "--backend": ("BACKEND", str, "compiled or portable (default: compiled if installed)"),
    "--env-backend": (
        "BACKEND",
        str,
        "native (fasttrpo's implementation of the environment), gymnasium (Gymnasium's) or async "
        "(Gymnasium's, each environment in its own process); default: native if there is one",
    ),
    "--target-kl": (
        "KL",
        _number_or_word,
        "size of the trust region: a number, or linear or linear_START, schedules that decay to 0",
    ),
    "--critic": ("CRITIC", str, f"how to fit the value function: {', '.join(CRITICS)}"),
    "--preconditioner": ("NAME", str, "preconditioner of conjugate gradient: kfac or none"),
    "--resume": (
        "RUN",
        Path,
        "resume an interrupted run in its folder, or extend a finished one with --total-timesteps",
    ),
}


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command."""
    what = "train a policy on an environment and evaluate it, or resume a run"
    train = commands.add_parser("train", help=what, description=what, allow_abbrev=False)
    train.set_defaults(run=run)
    what = "Gymnasium environment (CartPole-v1), shared library (./my_sim.so) or NumbaEnvironment "
    what += "in a Python file (my_sim.py:walk)"
    train.add_argument("env_id", metavar="ENV_ID", nargs="?", type=as_typed, help=what)
    for name, (metavar, kind, what) in _ARGUMENTS.items():
        train.add_argument(name, metavar=metavar, type=kind, help=what)
    train.add_argument("--verbose", action="store_true", help="print a table per iteration")
    logs.add(train)
    consent.add(train)
    what = f"seconds between checkpoints (default: {CHECKPOINT_EVERY:g}); 0 saves every iteration. "
    what += "Ctrl-C always saves"
    every = {"type": float, "default": CHECKPOINT_EVERY, "metavar": "SECONDS"}
    train.add_argument("--checkpoint-every", help=what, **every)
    add_progress(train)
    what = "set any other setting of TRPO; VALUE is a Python literal or a word: ent_coef=0.01 or "
    what += "policy_kwargs=\"{'net_arch':[32]}\""
    train.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=what)
    return train


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """The settings given on the command line."""
    options = {name: getattr(args, name) for name in (*_SETTINGS, "policy", "seed")}
    given = {name: value for name, value in options.items() if value is not None}
    return given | {"verbose": int(args.verbose)} | _assignments(args.set)


def _assignments(pairs: list[str]) -> dict[str, Any]:
    """The settings of NAME=VALUE pairs; a VALUE that is not a Python literal is a string."""
    settings = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"--set must be NAME=VALUE, got {pair!r}")
        if name == "env":
            raise UsageError("--set env: the environment is the argument ENV_ID")
        if name in _OPTIONS:
            raise UsageError(f"--set {name}: use the option --{name.replace('_', '-')}")
        try:
            settings[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError):
            settings[name] = text
    return settings


# -- the run --------------------------------------------------------------------------------------


def run(args: argparse.Namespace) -> int:
    """Trains in a new folder, or resumes a run, then evaluates."""
    _check(args)
    given = _given(args)
    if args.env_id is not None:
        consent.admit(args.env_id)
    with as_keyboard_interrupt():
        if args.resume is not None:
            resume_runs = seeds.resume_all if seeds.is_group(args.resume) else resume.run
            return resume_runs(args, given)
        return (_run_new if args.seeds is None else _run_seeds)(args, given)


def _check(args: argparse.Namespace) -> None:
    """Raises UsageError for options that are invalid or contradict each other."""
    if args.out is not None and args.out.name in ("", ".."):
        raise UsageError(f"--out must be the name of a new folder, got {str(args.out)!r}")
    if args.env_id is None and args.resume is None:
        raise UsageError("the following arguments are required: ENV_ID, or --resume RUN")
    if args.trust and args.resume is None:
        raise UsageError("--trust is for --resume; the code of ENV_ID is always run")
    if args.resume is not None and args.out is not None:
        raise UsageError("--resume continues in the run's own folder; omit --out")
    logs.requested(args)
    if args.seeds is not None:
        _check_seeds(args)
    elif args.jobs is not None and not (args.resume and seeds.is_group(args.resume)):
        raise UsageError("--jobs is for --seeds, or --resume of a folder of several seeds")
    for option in ("total_timesteps", "jobs"):
        if getattr(args, option) is not None:
            check_count(f"--{option.replace('_', '-')}", getattr(args, option))
    if not args.checkpoint_every >= 0:
        raise UsageError(f"--checkpoint-every must be a number >= 0, got {args.checkpoint_every}")


def _check_seeds(args: argparse.Namespace) -> None:
    if args.resume is not None:
        raise UsageError("--resume continues all seeds of a folder; omit --seeds")
    if args.seed is not None:
        raise UsageError("--seed and --seeds exclude each other; omit one of them")
    if args.verbose or {*logs.requested(args)} & {*logs.IN_TERMINAL}:
        raise UsageError("--verbose prints the table of a single run; omit it with --seeds")


def _run_seeds(args: argparse.Namespace, given: dict[str, Any]) -> int:
    numbers = seeds.parse(args.seeds)
    given = {"n_threads": 1, **given}
    # Creating a model finds mistakes before a folder exists.
    models = (make_model(args, given | {"seed": n}) for n in numbers)
    first = next(models)
    _note_own_environments(args.env_id, first[0])
    group = _create_folder(args.out or Path("runs") / as_name(args.env_id))
    folders = [
        new_run(group / f"seed{n}", args.env_id, *model)
        for n, model in zip(numbers, chain([first], models), strict=True)
    ]
    return seeds.run_all(group, folders, args, {})


def _run_new(args: argparse.Namespace, given: dict[str, Any]) -> int:
    seed = given.setdefault("seed", SEED)
    model, total = make_model(args, given)
    wanted = args.out or Path("runs") / f"{as_name(args.env_id)}-seed{seed}"
    folder = new_run(wanted, args.env_id, model, total)
    _note_own_environments(args.env_id, model)
    with alone_in(folder):
        logs.attach(model, folder, logs.requested(args))
        return training.complete(
            model, args.env_id, total, folder, args.checkpoint_every, args.progress
        )


def make_model(args: argparse.Namespace, given: dict[str, Any]) -> tuple[Any, int]:
    """Returns the model and the steps to train. The given settings take precedence over a preset,
    or over those tuned for the environment.
    """
    policy = given.get("policy", POLICIES[0])
    preset = settings_for(args.env_id, policy)
    total = preset.total_timesteps if args.total_timesteps is None else args.total_timesteps
    tuned = {} if given.get("preset") else preset.settings
    settings = {**tuned, **given, "policy": policy}
    return _construct(args.env_id, settings), total


def new_run(wanted: Path, env_id: str, model: Any, total: int) -> Path:
    """Creates the folder of a run without steps, which can be resumed."""
    folder = _create_folder(wanted)
    model.save(folder / CHECKPOINT, checkpoint=True)
    write_json(folder / CONFIG, _config(env_id, model, total))
    return folder


def _create_folder(wanted: Path) -> Path:
    try:
        return new_folder(wanted)
    except OSError as error:
        raise UsageError(f"cannot write to {str(wanted)!r}: {error.strerror}") from error


def _construct(env_id: str, settings: dict[str, Any]) -> Any:
    import gymnasium

    from fasttrpo.trpo import TRPO

    try:
        return TRPO(env=env_id, **settings)
    except gymnasium.error.Error as error:  # an unknown version, a missing package
        raise UsageError(line(error)) from error


def _note_own_environments(env_id: str, model: Any) -> None:
    """Prints a note if the id is Gymnasium's but the environments are fasttrpo's."""
    kind = type(model.get_env().vector_env)
    if kind.__module__.startswith("fasttrpo.envs.") and not is_file(env_id):
        print(f"{env_id}: using fasttrpo's implementation (--env-backend gymnasium: Gymnasium's)")


def _config(env_id: str, model: Any, total: int) -> dict[str, Any]:
    """The run's config.json; `write_machine` adds the system when training starts."""
    return {
        "env_id": full(env_id),
        "total_timesteps": total,
        "settings": asdict(model.settings),
    }
