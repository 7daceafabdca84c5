"""`fasttrpo train --config FILE`: the options of a run from TOML or JSON.

Its keys are the names of options. The table `settings` holds any other setting of TRPO. So a run's
config.json is such a file, and repeats the run. What describes its machine is ignored.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from fasttrpo.checks.suggest import nearest, unknown
from fasttrpo.cli.errors import UsageError
from fasttrpo.cli.options import (
    BY_NAME,
    ENVIRONMENT,
    FLAG,
    OPTIONS,
    SETTINGS,
    TABLE,
    Kind,
    is_evaluation_off,
)
from fasttrpo.errors import UserError, UserTypeError
from fasttrpo.files.run_folder import CONFIG, MAX_JSON
from fasttrpo.settings import Settings

_IGNORED = ("system", "versions", "ended")
_IS_GIVEN = "env_is_given"  # in a logger's settings.json: a script made the environment
_OTHERS: dict[str, Kind] = {"env_id": ENVIRONMENT, "settings": TABLE, _IS_GIVEN: FLAG}
_KINDS = {option.name: option.kind for option in OPTIONS if option.in_file} | _OTHERS
_ALTERNATIVES = ("seed", "seeds")


def merge(args: argparse.Namespace) -> dict[str, Any]:
    """Sets the arguments that are None to the values of the file `args.config`; returns the file's
    settings. Does nothing without a file.
    """
    if args.config is None:
        return {}
    values = read(args.config)
    if values.pop(_IS_GIVEN, False) and args.env_id is None:
        raise UsageError(
            f"{args.config}: a script made its environment {values.get('env_id')!r}, perhaps "
            "with wrappers; if its id is enough, name ENV_ID"
        )
    settings = _without_foreign_log(args, values.pop("settings", {}))
    if any(getattr(args, name) is not None for name in _ALTERNATIVES):
        values = {name: value for name, value in values.items() if name not in _ALTERNATIVES}
    if is_evaluation_off(args):
        values.pop("eval_freq", None)
    if args.seed is None and "seeds" not in values and args.seeds is None:
        values.setdefault("seed", settings.get("seed"))
    settings |= {name: values.pop(name) for name in SETTINGS if name in values}
    for name, value in values.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return {name: value for name, value in settings.items() if name != "seed"}


def _without_foreign_log(args: argparse.Namespace, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings without a tensorboard_log outside the working folder: a file from somebody else
    must not write elsewhere without the user's consent.
    """
    log = settings.get("tensorboard_log")
    is_inside = log is None or Path.cwd().resolve() in Path(str(log)).resolve().parents
    is_replaced = any(pair.startswith("tensorboard_log=") for pair in args.set)
    if is_inside or is_replaced or args.trust:
        return settings
    print(
        f"{args.config}: not writing TensorBoard logs to {log!r}, which is outside the working "
        "folder; pass --trust, or choose a folder with --set tensorboard_log=FOLDER"
    )
    return settings | {"tensorboard_log": None}


def read(path: Path) -> dict[str, Any]:
    """The file's values, checked and converted. Raises UsageError for anything invalid."""
    values = {}
    for name, value in _parsed(path, _text(path)).items():
        if name in _IGNORED or value is None:
            continue
        _check_name(path, name)
        values[name] = _converted(path, name, value)
    for name, value in values.get("settings", {}).items():
        _check_setting(path, name, value)
    return values


def _text(path: Path) -> str:
    """The file's text."""
    if path.is_dir():
        found = path / CONFIG
        hint = f"; pass {str(found)!r}" if found.is_file() else ""
        raise UsageError(f"--config: {str(path)!r} is a folder{hint}")
    if path.exists() and not path.is_file():
        raise UsageError(f"--config: {str(path)!r} is a device or a pipe; name a file")
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_JSON + 1)
        if len(data) > MAX_JSON:
            raise UsageError(f"--config: {str(path)!r} has more than {MAX_JSON >> 20} MiB")
        return data.decode("utf-8-sig")
    except FileNotFoundError as error:
        match = nearest(path.name, [each.name for each in path.parent.glob("*.[tj]*")])
        hint = f"; did you mean {str(path.with_name(match))!r}?" if match else ""
        raise UsageError(f"--config: there is no file {str(path)!r}{hint}") from error
    except OSError as error:
        raise UsageError(f"--config: {str(path)!r} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is neither TOML nor JSON: it is not UTF-8") from error


def _parsed(path: Path, text: str) -> dict[str, Any]:
    is_json = text.lstrip().startswith("{")
    try:
        values: dict[str, Any] = json.loads(text) if is_json else tomllib.loads(text)
        return values
    except (ValueError, RecursionError) as error:
        suffix, kind = path.suffix.lower(), "JSON" if is_json else "TOML"
        is_known = is_json or suffix == ".toml"
        what = f"is not {kind}" if is_known else "is neither TOML nor JSON"
        raise UsageError(f"{path} {what}: {str(error) or 'nested too deeply'}") from error


def _check_name(path: Path, name: str) -> None:
    if name in _KINDS:
        return
    if name in BY_NAME:
        raise UsageError(f"{path}: {name} is for the command line: {BY_NAME[name].flag}")
    settings = {each.name for each in fields(Settings)} - _KINDS.keys()
    if name in settings:
        raise UsageError(f"{path}: {name} is a setting: write it in the table settings")
    options = [known for known in _KINDS if known != _IS_GIVEN]
    match = nearest(name, [*options, *settings])
    if match in settings:
        hint = f"did you mean the setting {match!r}? It belongs in the table settings"
        raise UsageError(f"{path}: unknown option {name!r}; {hint}")
    raise UsageError(f"{path}: {unknown('option', name, options)}")


def _check_setting(path: Path, name: str, value: Any) -> None:
    checks = {each.name: each.metadata["check"] for each in fields(Settings)}
    if name not in checks and name in _KINDS:
        raise UsageError(f"{path}: {name} is an option: write it outside of the table settings")
    if name not in checks:
        raise UsageError(f"{path}: {unknown('setting', name, checks)}")
    try:
        checks[name](name, value)
    except UserError as error:
        raise UsageError(f"{path}: {error}") from error


def _converted(path: Path, name: str, value: Any) -> Any:
    """The value as the command line would give it."""
    kind = _KINDS[name]
    try:
        converted = kind.convert(value)
    except UserTypeError:
        raise UsageError(f"{path}: {name} must be {kind.words}, got {_short(value)}") from None
    if name in BY_NAME:
        BY_NAME[name].check(converted, f"{path}: {name}")
    return converted


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
