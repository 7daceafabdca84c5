"""`fasttrpo train ENV_ID`: trains, saves and evaluates a model in a folder of its own."""

from __future__ import annotations

import argparse
import ast
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from fasttrpo.cli import consent, logs, resume, seeds, training
from fasttrpo.cli.arguments import add_progress, check_count
from fasttrpo.cli.errors import UsageError, line
from fasttrpo.cli.runs import as_name, as_typed, full, is_file, new_folder, write_json
from fasttrpo.cli.signals import as_keyboard_interrupt
from fasttrpo.files.atomic import alone_in
from fasttrpo.files.run_folder import CHECKPOINT, CONFIG
from fasttrpo.settings import PEERS, POLICIES
from fasttrpo.settings.critics import CRITICS
from fasttrpo.settings.tuned import settings_for

SEED = 0
# Options that are settings of the same name; None means: as the preset says.
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
# All that has an option of its own, and so is none of --set's.
_OPTIONS = (*_SETTINGS, "policy", "seed", "seeds", "jobs", "total_timesteps", "verbose")


# -- arguments ------------------------------------------------------------------------------------


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command."""
    train = commands.add_parser("train", help="train on an environment", allow_abbrev=False)
    train.set_defaults(run=run)
    what = "a Gymnasium environment (CartPole-v1), a shared library (./my_sim.so), or a "
    what += "NumbaEnvironment in a file (my_sim.py:walk)"
    train.add_argument("env_id", metavar="ENV_ID", nargs="?", type=as_typed, help=what)
    train.add_argument("--seed", type=int, help=f"of everything random (default {SEED})")
    many = "many runs side by side: 0-9, or 0,3,5; in runs/ENV_ID/seed0 and so on, one thread each"
    train.add_argument("--seeds", metavar="SEEDS", help=many)
    train.add_argument("--jobs", type=int, metavar="N", help="seeds at once; default: by the cores")
    train.add_argument("--total-timesteps", type=_count, metavar="N", help="environment steps")
    train.add_argument("--n-envs", type=int, metavar="N", help="environments side by side")
    train.add_argument("--n-steps", type=int, metavar="N", help="steps per environment, iteration")
    train.add_argument("--n-threads", type=int, metavar="N", help="default: the cores there are")
    train.add_argument("--preset", help=f"the semantics of a peer: {', '.join(PEERS)}")
    train.add_argument("--policy", help=" or ".join(POLICIES))
    train.add_argument("--out", type=Path, metavar="FOLDER", help="default runs/ENV_ID-seedN")
    train.add_argument("--dtype", help="float32 or float64")
    train.add_argument("--backend", help="compiled or portable")
    ours = "native or gymnasium (default: native where fasttrpo has the environment)"
    train.add_argument("--env-backend", help=ours)
    what = "size of the trust region: a number, linear, or linear_START (falls to 0)"
    train.add_argument("--target-kl", type=_number_or_word, metavar="KL", help=what)
    train.add_argument("--critic", help=" or ".join(CRITICS))
    train.add_argument("--preconditioner", help="kfac or none")
    train.add_argument("--verbose", action="store_true", help="a table per iteration")
    logs.add(train)
    _add_keeping(train)
    add_progress(train)
    other = "any setting of TRPO; VALUE is a word or a literal of Python's, ent_coef=0.01 or "
    other += "policy_kwargs=\"{'net_arch':[32]}\""
    train.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=other)
    return train


def _add_keeping(train: argparse.ArgumentParser) -> None:
    """What is kept on the way, and going on from it."""
    again = "go on with a run, in its folder; --total-timesteps may be more than before"
    train.add_argument("--resume", type=Path, metavar="RUN", help=again)
    consent.add(train)
    train.add_argument(
        "--checkpoint-every",
        type=float,
        default=training.CHECKPOINT_EVERY,
        metavar="SECONDS",
        help=f"0: each iteration (default {training.CHECKPOINT_EVERY:g}); Ctrl-C loses nothing",
    )


def _count(text: str) -> int:
    """An integer, 1e6 too."""
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


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """The settings named on the command line."""
    options = {name: getattr(args, name) for name in (*_SETTINGS, "policy", "seed")}
    given = {name: value for name, value in options.items() if value is not None}
    return given | {"verbose": int(args.verbose)} | _assignments(args.set)


def _assignments(pairs: list[str]) -> dict[str, Any]:
    """NAME=VALUE pairs; a VALUE is a Python literal, or else a word."""
    settings = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"--set takes NAME=VALUE, got {pair!r}")
        if name == "env":
            raise UsageError("--set env: the environment is the argument ENV_ID")
        if name in _OPTIONS:
            raise UsageError(f"--set {name}: take the option --{name.replace('_', '-')}")
        try:
            settings[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError):
            settings[name] = text
    return settings


# -- the run --------------------------------------------------------------------------------------


def run(args: argparse.Namespace) -> int:
    """Trains in a new folder, or goes on in one, then evaluates."""
    _check(args)
    given = _given(args)
    if args.env_id is not None:
        consent.admit(args.env_id)
    with as_keyboard_interrupt():
        if args.resume is not None:
            go_on = seeds.resume_all if seeds.is_group(args.resume) else resume.run
            return go_on(args, given)
        return (_run_new if args.seeds is None else _run_seeds)(args, given)


def _check(args: argparse.Namespace) -> None:
    """UsageError for options that are wrong whatever else is given."""
    if args.out is not None and args.out.name in ("", ".."):
        raise UsageError(f"--out must be the name of a new folder, got {str(args.out)!r}")
    if args.env_id is None and args.resume is None:
        raise UsageError("the following arguments are required: ENV_ID, or --resume RUN")
    if args.trust and args.resume is None:
        raise UsageError("--trust is for --resume; what ENV_ID names is run anyway")
    if args.resume is not None and args.out is not None:
        raise UsageError("--resume goes on in the run's own folder; leave --out away")
    logs.requested(args)
    if args.seeds is not None:
        _check_seeds(args)
    elif args.jobs is not None and not (args.resume and seeds.is_group(args.resume)):
        raise UsageError("--jobs is for --seeds, of which there are none")
    for option in ("total_timesteps", "jobs"):
        if getattr(args, option) is not None:
            check_count(f"--{option.replace('_', '-')}", getattr(args, option))
    if not args.checkpoint_every >= 0:
        raise UsageError(f"--checkpoint-every must be a number >= 0, got {args.checkpoint_every}")


def _check_seeds(args: argparse.Namespace) -> None:
    if args.resume is not None:
        raise UsageError("--resume goes on with all seeds of a folder; leave --seeds away")
    if args.seed is not None:
        raise UsageError("--seed is among --seeds; leave one of them away")
    if args.verbose or {*logs.requested(args)} & {*logs.IN_TERMINAL}:
        raise UsageError("--verbose has a table for one run only; leave it away with --seeds")


def _run_seeds(args: argparse.Namespace, given: dict[str, Any]) -> int:
    numbers = seeds.parse(args.seeds)
    given = {"n_threads": 1, **given}
    # Mistakes show before a folder is made.
    models = (new_model(args, given | {"seed": n}) for n in numbers)
    first = next(models)
    _tell_environments(args.env_id, first[0])
    group = _made(args.out or Path("runs") / as_name(args.env_id))
    folders = [
        new_run(group / f"seed{n}", args.env_id, *made)
        for n, made in zip(numbers, chain([first], models), strict=True)
    ]
    return seeds.run_all(group, folders, args, {})


def _run_new(args: argparse.Namespace, given: dict[str, Any]) -> int:
    seed = given.setdefault("seed", SEED)
    model, total = new_model(args, given)
    wanted = args.out or Path("runs") / f"{as_name(args.env_id)}-seed{seed}"
    folder = new_run(wanted, args.env_id, model, total)
    _tell_environments(args.env_id, model)
    with alone_in(folder):
        logs.attach(model, folder, logs.requested(args))
        return training.complete(
            model, args.env_id, total, folder, args.checkpoint_every, args.progress
        )


def new_model(args: argparse.Namespace, given: dict[str, Any]) -> tuple[Any, int]:
    """The model, by what is tuned for the environment or a peer's preset, and what is given; and
    how many steps to train it.
    """
    policy = given.get("policy", POLICIES[0])
    preset = settings_for(args.env_id, policy)
    total = preset.total_timesteps if args.total_timesteps is None else args.total_timesteps
    tuned = {} if given.get("preset") else preset.settings
    settings = {**tuned, **given, "policy": policy}
    return _make_model(args.env_id, settings), total


def new_run(wanted: Path, env_id: str, model: Any, total: int) -> Path:
    """Makes the folder of a run that has not begun; it can be resumed from now on."""
    folder = _made(wanted)
    model.save(folder / CHECKPOINT, checkpoint=True)
    write_json(folder / CONFIG, _config(env_id, model, total))
    return folder


def _made(wanted: Path) -> Path:
    try:
        return new_folder(wanted)
    except OSError as error:
        raise UsageError(f"cannot write to {str(wanted)!r}: {error.strerror}") from error


def _make_model(env_id: str, settings: dict[str, Any]) -> Any:
    import gymnasium

    from fasttrpo.trpo import TRPO

    try:
        return TRPO(env=env_id, **settings)
    except gymnasium.error.Error as error:  # no such version, a package that it needs
        raise UsageError(line(error)) from error


def _tell_environments(env_id: str, model: Any) -> None:
    """Says so where the environments are not Gymnasium's, though the id is."""
    kind = type(model.get_env().vector_env)
    if kind.__module__.startswith("fasttrpo.envs.") and not is_file(env_id):
        print(f"{env_id}: fasttrpo's own environments (--env-backend gymnasium takes Gymnasium's)")


def _config(env_id: str, model: Any, total: int) -> dict[str, Any]:
    """Everything that makes the run what it is; what trains it is added as that begins."""
    return {
        "env_id": full(env_id),
        "total_timesteps": total,
        "settings": asdict(model.settings),
    }
