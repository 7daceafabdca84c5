"""`--log-formats`, `--tensorboard`: logs in the run's folder in addition to progress.csv."""

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


def requested(args: argparse.Namespace) -> tuple[str, ...]:
    """The requested formats except csv, which every run writes. Raises UsageError for an unknown
    format and ImportError if TensorBoard's package is missing.
    """
    names = [name.strip() for name in (args.log_formats or "").split(",")]
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
    """Makes the model write these logs, and continue those that a resumed run already has.
    Raises ImportError if TensorBoard's package is missing.
    """
    from fasttrpo.logs.logger import configure

    existing = (name for name, files in _FILES.items() if any(folder.glob(files)))
    formats = tuple(dict.fromkeys((*formats, *existing)))
    if formats:
        tables = ("stdout",) if model.settings.verbose and not {*IN_TERMINAL} & {*formats} else ()
        model.set_logger(configure(folder, (*tables, *formats), model.num_timesteps))
