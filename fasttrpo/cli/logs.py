"""`--log-formats`, `--tensorboard`: logs beside progress.csv, in the run's folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fasttrpo.checks.suggest import unknown
from fasttrpo.cli.errors import UsageError
from fasttrpo.logs.writers import tensorboard_parts

IN_TERMINAL = ("stdout", "rows")
_FILES = {"log": "log.txt", "json": "progress.json", "tensorboard": "events.out.tfevents.*"}
FORMATS = (*IN_TERMINAL, *_FILES)


def add(train: argparse.ArgumentParser) -> None:
    """Declares the options."""
    what = (
        f"logs beside progress.csv: some of {','.join(FORMATS)}, with Stable-Baselines3's tags; "
        "--resume goes on with those there are"
    )
    train.add_argument("--log-formats", default="", metavar="LIST", help=what)
    train.add_argument("--tensorboard", action="store_true", help="--log-formats tensorboard")


def requested(args: argparse.Namespace) -> tuple[str, ...]:
    """The formats but for csv, which is there anyway. UsageError for one that there is not,
    ImportError for one that something is to be installed for.
    """
    names = [name.strip() for name in args.log_formats.split(",")]
    names = [name for name in names if name not in ("", "csv")]
    for name in names:
        if name not in FORMATS:
            raise UsageError(unknown("log format", name, FORMATS))
    if args.tensorboard:
        names.append("tensorboard")
    if "tensorboard" in names:
        tensorboard_parts()
    return tuple(dict.fromkeys(names))


def attach(model: Any, folder: Path, formats: tuple[str, ...]) -> None:
    """Lets the model log so, and into the files that the run has already: a run that goes on has
    whole ones. ImportError says what to install for TensorBoard.
    """
    from fasttrpo.logs.logger import configure

    begun = (name for name, files in _FILES.items() if any(folder.glob(files)))
    formats = tuple(dict.fromkeys((*formats, *begun)))
    if formats:
        tables = ("stdout",) if model.settings.verbose and not {*IN_TERMINAL} & {*formats} else ()
        model.set_logger(configure(folder, (*tables, *formats), model.num_timesteps))
