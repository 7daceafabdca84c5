"""`fasttrpo train ENV_ID`: trains and evaluates a model in a new folder."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

from fasttrpo.cli import config_file, consent, logs, notices, options, resume, seeds, training
from fasttrpo.cli import eval as evaluation
from fasttrpo.cli.arguments import Parser, assignments
from fasttrpo.cli.errors import UsageError, line
from fasttrpo.cli.notices import Sources
from fasttrpo.cli.runs import as_name, full, new_folder, write_json
from fasttrpo.cli.signals import as_keyboard_interrupt
from fasttrpo.cli.training import Plan
from fasttrpo.errors import UserError
from fasttrpo.files.atomic import alone_in
from fasttrpo.files.run_folder import CHECKPOINT, CONFIG
from fasttrpo.settings import POLICIES
from fasttrpo.settings.tuned import is_tuned, settings_for

# -- arguments ------------------------------------------------------------------------------------


def add(commands: Any) -> Parser:
    """Declares the command."""
    what = "train a policy in a new folder and evaluate it, or resume a run"
    usage = "fasttrpo train ENV_ID [OPTIONS]\n       fasttrpo train --resume RUN [OPTIONS]"
    train: Parser = commands.add_parser("train", description=what, usage=usage, allow_abbrev=False)
    train.set_defaults(run=run)
    options.declare(train)
    return train


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """The settings given by options."""
    values = {name: getattr(args, name) for name in (*options.SETTINGS, "seed")}
    given = {name: value for name, value in values.items() if value is not None}
    if args.verbose is not None:
        given["verbose"] = int(args.verbose)
    others = {name: f"the option {each.flag}" for name, each in options.BY_NAME.items()}
    return given | assignments(args.set, {"env": "the argument ENV_ID"} | others)


# -- the run --------------------------------------------------------------------------------------


def run(args: argparse.Namespace) -> int:
    """Trains in a new folder, or resumes a run, then evaluates."""
    if args.env_id is not None:
        consent.admit(args.env_id)
    in_file = config_file.merge(args)
    _check(args)
    given = _given(args)
    if args.config is not None:
        env_kwargs = in_file.get("env_kwargs") if args.env_kwargs is None else None
        consent.require_for(args.config, args.env_id, env_kwargs, args.trust)
    with as_keyboard_interrupt():
        if args.resume is not None:
            resume_runs = seeds.resume_all if seeds.is_group(args.resume) else resume.run
            return resume_runs(args, {"verbose": 0} | given)
        train_runs = _run_new if args.seeds is None else _run_seeds
        return train_runs(args, _sources(args, in_file, given))


def _check(args: argparse.Namespace) -> None:
    """Raises UsageError for options that are invalid or contradict each other."""
    if args.out is not None and args.out.name in ("", ".."):
        raise UsageError(f"--out must be the name of a new folder, got {str(args.out)!r}")
    if args.resume is not None and args.config is not None:
        raise UsageError("--resume continues with the run's own settings; omit --config")
    if args.env_id is None and args.resume is None:
        if args.config is not None:
            raise UsageError(f"{args.config} has no env_id: add it, or name ENV_ID")
        raise UsageError("the following arguments are required: ENV_ID, or --resume RUN")
    if args.trust and args.resume is None and args.config is None:
        raise UsageError("--trust is for --resume and --config; the code of ENV_ID is always run")
    if args.resume is not None and args.out is not None:
        raise UsageError("--resume continues in the run's own folder; omit --out")
    logs.requested(args)
    if args.seeds is not None:
        _check_seeds(args)
    elif args.jobs is not None and not (args.resume and seeds.is_group(args.resume)):
        raise UsageError("--jobs is for --seeds, or --resume of a folder of several seeds")
    options.check(args)


def _check_seeds(args: argparse.Namespace) -> None:
    if args.resume is not None:
        raise UsageError("--resume continues all seeds of a folder; omit --seeds")
    if args.seed is not None:
        raise UsageError("--seed and --seeds exclude each other; omit one of them")
    if args.verbose or {*logs.requested(args)} & {*logs.IN_TERMINAL}:
        raise UsageError("--verbose prints the table of a single run; omit it with --seeds")


def _sources(args: argparse.Namespace, in_file: dict[str, Any], given: dict[str, Any]) -> Sources:
    """The run's settings and where they come from. Options take precedence over a file, and both
    over a preset, or over the settings tuned for the environment.
    """
    chosen = in_file | given
    tuned = settings_for(args.env_id, chosen.get("policy", POLICIES[0])).settings
    preset = chosen.get("preset")
    known = is_tuned(args.env_id)
    return Sources(preset, {} if preset else tuned, known, args.config, in_file, given)


def _run_seeds(args: argparse.Namespace, sources: Sources) -> int:
    numbers = seeds.parse(args.seeds)
    settings = sources.merged
    settings["n_threads"] = settings.get("n_threads") or 1
    # Creating a model finds mistakes before a folder exists.
    models = (_construct(args.env_id, settings | {"seed": n}) for n in numbers)
    first = next(models)
    _plan(args, Path()).check()
    _print_notices(args, first, sources)
    group = _create_folder(args.out or Path("runs") / as_name(args.env_id))
    folders = []
    for n, model in zip(numbers, chain([first], models), strict=True):
        folders.append(new_run(_plan(args, group / f"seed{n}"), model))
    return seeds.run_all(group, folders, args, {})


def _run_new(args: argparse.Namespace, sources: Sources) -> int:
    settings = {"seed": options.SEED} | sources.merged
    model = _construct(args.env_id, settings)
    wanted = args.out or Path("runs") / f"{as_name(args.env_id)}-seed{settings['seed']}"
    plan = _plan(args, wanted)
    plan.check()
    plan = replace(plan, folder=new_run(plan, model))
    _print_notices(args, model, sources)
    with alone_in(plan.folder):
        logs.attach(model, plan.folder, logs.requested(args))
        return training.complete(model, plan, args.progress)


def _plan(args: argparse.Namespace, folder: Path) -> Plan:
    """What to do with a new run."""
    total, episodes = args.total_timesteps, args.eval_episodes
    return Plan(
        args.env_id,
        folder,
        settings_for(args.env_id).total_timesteps if total is None else total,
        options.every(args),
        args.eval_freq,
        evaluation.EVAL_EPISODES if episodes is None else episodes,
    )


def new_run(plan: Plan, model: Any) -> Path:
    """Creates the folder of a run without steps, which can be resumed."""
    folder = _create_folder(plan.folder)
    model.save(folder / CHECKPOINT, checkpoint=True)
    write_json(folder / CONFIG, _config(plan, model))
    return folder


def _create_folder(wanted: Path) -> Path:
    try:
        return new_folder(wanted)
    except OSError as error:
        raise UsageError(f"cannot write to {str(wanted)!r}: {error.strerror}") from error


def _construct(env_id: str, settings: dict[str, Any]) -> Any:
    import gymnasium

    from fasttrpo.stream.makers import REFUSED
    from fasttrpo.trpo import TRPO

    try:
        return TRPO(env=env_id, **{"policy": POLICIES[0]} | settings)
    except gymnasium.error.Error as error:  # an unknown version, a missing package
        raise UsageError(line(error)) from error
    except UserError as error:
        if REFUSED not in str(error):
            raise
        raise UsageError(line(error).replace(REFUSED, "refuses --env-kwargs ")) from error


def _print_notices(args: argparse.Namespace, model: Any, sources: Sources) -> None:
    """Prints what environments and settings are used."""
    notices.print_own_environments(args.env_id, model)
    print(notices.describe(args.env_id, sources))


def _config(plan: Plan, model: Any) -> dict[str, Any]:
    """The run's config.json; `write_machine` adds the system when training starts."""
    return {
        "env_id": full(plan.env_id),
        "total_timesteps": plan.total,
        "eval_freq": plan.eval_freq,
        "eval_episodes": plan.eval_episodes,
        "settings": asdict(model.settings),
    }
