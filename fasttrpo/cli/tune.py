"""`fasttrpo tune ENV_ID`: searches settings with Optuna, and writes the best as a configuration."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fasttrpo.cli import consent, options
from fasttrpo.cli.arguments import Parser, add_progress, assignments, check_count
from fasttrpo.cli.errors import INTERRUPTED, UsageError, line
from fasttrpo.cli.runs import as_name, as_typed, full, write_json
from fasttrpo.cli.signals import as_keyboard_interrupt
from fasttrpo.settings import POLICIES

BEST, PICTURE = "best.json", "tuning.png"
TRIALS, FINAL_SEEDS = 30, 6  # defaults of `tuning.tune`, which takes long to import
_DESCRIPTION = (
    "search settings with Optuna, starting from those that train uses; Ctrl-C keeps the study, and "
    "the same command continues it"
)
_RESERVED = {
    "env": "the argument ENV_ID",
    "seed": "the option --seed",
    "env_kwargs": "the option --env-kwargs",
}
_SEARCH, _FIXED = "Search", "Settings that are not searched"


def add(commands: Any) -> Parser:
    """Declares the command."""
    tune: Parser = commands.add_parser(
        "tune", description=_DESCRIPTION, usage="fasttrpo tune ENV_ID [OPTIONS]", allow_abbrev=False
    )
    tune.set_defaults(run=run)
    tune.add(_SEARCH, "env_id", metavar="ENV_ID", type=as_typed, help="as for train")
    what = f"trials in total, those of earlier calls included (default: {TRIALS})"
    tune.add(_SEARCH, "--trials", type=int, default=TRIALS, metavar="N", help=what)
    what = "environment steps of each training (default: as train, which depends on ENV_ID)"
    tune.add(_SEARCH, "--total-timesteps", type=float, metavar="N", help=what)
    what = "trainings at once (default: number of cores); a search with 1 is repeatable"
    tune.add(_SEARCH, "--jobs", type=int, metavar="N", help=what)
    what = "new seeds with which the first and the best settings are trained again, to choose "
    what += f"between them (default: {FINAL_SEEDS}); 0 chooses the best trial"
    tune.add(_SEARCH, "--final-seeds", type=int, default=FINAL_SEEDS, metavar="N", help=what)
    tune.add(_SEARCH, "--seed", type=int, default=0, metavar="N", help="seed (default: 0)")
    what = "fix a setting of TRPO, which is then not searched; VALUE as for train"
    tune.add(_FIXED, "--set", action="append", default=[], metavar="NAME=VALUE", help=what)
    options.declare_one(tune, _FIXED, "env_kwargs")
    what = f"folder of the study, {BEST} and {PICTURE} (default: runs/tune-ENV_ID)"
    tune.add("Output", "--out", type=Path, metavar="FOLDER", help=what)
    add_progress(tune)
    return tune


def run(args: argparse.Namespace) -> int:
    """Searches, and reports; returns the exit code."""
    _check(args)
    fixed = assignments(args.set, _RESERVED)
    if args.env_kwargs is not None:
        fixed["env_kwargs"] = args.env_kwargs
    consent.admit(args.env_id)
    folder = args.out or Path("runs") / f"tune-{as_name(args.env_id)}"
    progress = _progress(args.progress)
    with as_keyboard_interrupt():
        try:
            tuning = _tune(args, fixed, folder, progress)
            progress.close()
            _save(tuning, folder)
        except KeyboardInterrupt:
            print(f"interrupted {progress.state()}; saved in {folder}; the same command continues")
            return INTERRUPTED
        finally:
            progress.close()
    _report(tuning, folder)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raises UsageError for options that are invalid."""
    check_count("--trials", args.trials)
    check_count("--final-seeds", args.final_seeds, low=0)
    check_count("--seed", args.seed, low=0)
    if args.jobs is not None:
        check_count("--jobs", args.jobs)
    total = args.total_timesteps
    if total is not None and not (total >= 1 and total.is_integer()):
        raise UsageError(f"--total-timesteps must be an integer >= 1, got {total:g}")


def _tune(args: argparse.Namespace, fixed: dict[str, Any], folder: Path, watch: Any) -> Any:
    import gymnasium

    from fasttrpo.tuning import tune
    from fasttrpo.tuning.plot import check_matplotlib

    check_matplotlib()
    try:
        return tune(
            full(args.env_id),
            args.trials,
            folder=folder,
            total_timesteps=args.total_timesteps,
            settings=fixed,
            seed=args.seed,
            jobs=args.jobs,
            final_seeds=args.final_seeds,
            watch=watch,
        )
    except gymnasium.error.Error as error:  # an unknown version, a missing package
        raise UsageError(line(error)) from error


def _save(tuning: Any, folder: Path) -> None:
    """Writes the best settings and the picture."""
    from fasttrpo.files.atomic import replacing
    from fasttrpo.tuning.plot import plot

    write_json(folder / BEST, tuning.config())
    with replacing(folder / PICTURE) as file:
        plot(tuning, file)


# -- the report -----------------------------------------------------------------------------------


def _report(tuning: Any, folder: Path) -> None:
    """Prints the result, and how to use it."""
    from fasttrpo.report.words import join_words, percent, pluralize
    from fasttrpo.tuning.text import describe_choice, start_name

    states = [trial.state for trial in tuning.trials]
    counts = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
    print(f"{tuning.env_id}: {pluralize(len(states), 'trial')}: {join_words(counts)}")
    print(describe_choice(tuning))
    shares = [f"{name} {percent(share)}" for name, share in [*tuning.importances.items()][:5]]
    if shares:
        print(f"mattered most: {', '.join(shares)}")
    print(f"saved in {folder}: study.db, {BEST}, {PICTURE}")
    if tuning.best.trial.number == 0:
        print(f"train uses {start_name(tuning)} already; to name them:")
    print(f"fasttrpo train --config {shlex.quote(str(folder / BEST))}")
    print(command(tuning.config()))


def command(config: Mapping[str, Any]) -> str:
    """The command that trains with a configuration. Settings without an option of `fasttrpo train`
    are passed with --set.
    """
    steps = str(config["total_timesteps"])
    words = ["fasttrpo", "train", config["env_id"], "--total-timesteps", steps]
    for name, value in config["settings"].items():
        text = value if isinstance(value, str) else None
        if (name, value) == ("policy", POLICIES[0]):
            continue
        if name in options.SETTINGS:
            words += [options.BY_NAME[name].flag, text or json.dumps(value)]
        else:
            words += ["--set", f"{name}={text or _literal(value)}"]
    return shlex.join(words)


def _literal(value: Any) -> str:
    """The value as Python reads it, with double quotes if possible: shells need not escape them."""
    text = repr(value)
    return text if '"' in text else text.replace("'", '"')


# -- progress -------------------------------------------------------------------------------------


def _progress(wanted: bool | None) -> Any:
    """Shows bars, or prints lines: by default bars on a terminal."""
    from fasttrpo.tuning.text import Bars, Lines

    is_shown = sys.stderr.isatty() if wanted is None else wanted
    return Bars() if is_shown else Lines()
