"""The options of `fasttrpo train`, in one table.

The parser, the groups of its help, the keys of a `--config` file and the checks are made from it.
An option that was not given is None.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from fasttrpo.cli import eval as evaluation
from fasttrpo.cli.arguments import Parser, add_progress, literal
from fasttrpo.cli.errors import UsageError
from fasttrpo.cli.logs import FORMATS
from fasttrpo.cli.runs import as_typed
from fasttrpo.errors import UserTypeError
from fasttrpo.files.run_folder import MAX_COUNT
from fasttrpo.settings import PEERS, POLICIES
from fasttrpo.settings.critics import CRITICS

SEED = 0
CHECKPOINT_EVERY = 10.0  # seconds
RUN, LEARN, LOG, SYSTEM = "Run", "Settings", "Output", "Implementation"


# -- kinds of values ------------------------------------------------------------------------------


class Kind(NamedTuple):
    """What an option's value can be.

    parse    the value of a text on the command line; raises ValueError
    words    what a value in a file must be
    convert  the value of one in a file; raises UserTypeError for any other
    """

    parse: Callable[[str], Any]
    words: str
    convert: Callable[[Any], Any]


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


def _of_type(*types: type) -> Callable[[Any], Any]:
    """Accepts values of exactly these types."""

    def convert(value: Any) -> Any:
        if type(value) not in types:
            raise UserTypeError(f"got {value!r}")
        return value

    return convert


def _whole(value: Any) -> int:
    if type(value) is float and value.is_integer():
        return int(value)
    return int(_of_type(int)(value))


def _listed(kind: type, separator: str = ",") -> Callable[[Any], str]:
    """A word or a list, as the text that the command line takes."""

    def convert(value: Any) -> str:
        values = value if isinstance(value, list) else [value]
        return separator.join(str(_of_type(kind, str)(each)) for each in values)

    return convert


def _keywords(text: str) -> dict[str, Any]:
    """A JSON object, or NAME=VALUE."""
    if text.lstrip().startswith("{"):
        try:
            return dict(json.loads(text))
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from error
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"must be JSON or NAME=VALUE, got {text!r}")
    try:
        return {name: json.loads(value)}  # false is not the word "false"
    except ValueError:
        return {name: literal(value)}


class _Merge(argparse.Action):
    """Merges the dictionaries of a repeated option."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        """Called by argparse."""
        setattr(namespace, self.dest, (getattr(namespace, self.dest) or {}) | values)


INTEGER = Kind(int, "an integer", _of_type(int))
COUNT = Kind(_count, "an integer", _whole)
NUMBER = Kind(float, "a number", _of_type(int, float))
SCHEDULE = Kind(_number_or_word, "a number or a string", _of_type(int, float, str))
WORD = Kind(str, "a string", _of_type(str))
NAMES = Kind(str, "a string or a list of strings", _listed(str))
SEEDS = Kind(str, "a string or a list of integers", _listed(int))
FLAG = Kind(str, "true or false", _of_type(bool))
TABLE = Kind(_keywords, "a table", _of_type(dict))
ENVIRONMENT = Kind(as_typed, "a string", lambda value: as_typed(_of_type(str)(value)))
PATH = Kind(Path, "", str)  # never in a file


# -- the table ------------------------------------------------------------------------------------


class Option(NamedTuple):
    """An option, named as its key in a file.

    rare        only --help-all shows it
    is_setting  whether it is a setting of the same name, which None leaves to the preset, or to the
                settings tuned for the environment
    in_file     whether a `--config` file can have it
    low         its smallest value
    """

    name: str
    group: str
    kind: Kind
    metavar: str
    text: str
    rare: bool = False
    is_setting: bool = False
    in_file: bool = True
    low: int | None = None

    @property
    def flag(self) -> str:
        """As typed on the command line."""
        return "--" + self.name.replace("_", "-")

    def check(self, value: Any, label: str) -> None:
        """Raises UsageError, naming `label`, if the value is too small, or too large for a run."""
        if value is None:
            return
        if self.low is not None and not value >= self.low:
            raise UsageError(f"{label} must be {self.kind.words} >= {self.low}, got {value}")
        if self.kind is COUNT and value > MAX_COUNT:
            raise UsageError(f"{label} must be at most {MAX_COUNT}, got {value}")


def _rare(
    name: str, group: str, kind: Kind, metavar: str, text: str, low: int | None = None
) -> Option:
    return Option(name, group, kind, metavar, text, rare=True, low=low)


def _setting(
    name: str, group: str, kind: Kind, metavar: str, text: str, rare: bool = True
) -> Option:
    return Option(name, group, kind, metavar, text, rare=rare, is_setting=True)


OPTIONS: tuple[Option, ...] = (
    Option("total_timesteps", RUN, COUNT, "N", "environment steps (default: by ENV_ID)", low=1),
    Option("seed", RUN, INTEGER, "N", f"random seed (default: {SEED})"),
    Option("seeds", RUN, SEEDS, "LIST", "train several seeds in parallel: 0-9 or 0,3,5"),
    _rare("jobs", RUN, INTEGER, "N", "seeds trained at once (default: as cores allow)", low=1),
    Option("out", RUN, PATH, "FOLDER", "new folder (default: runs/ENV_ID-seedN)", in_file=False),
    Option("resume", RUN, PATH, "RUN", "continue a stopped run, or extend it", in_file=False),
    Option("config", RUN, PATH, "FILE", "options from TOML or a run's config.json", in_file=False),
    _rare(
        "checkpoint_every",
        RUN,
        NUMBER,
        "SECONDS",
        f"seconds between checkpoints (default: {CHECKPOINT_EVERY:g}); 0 saves every iteration. "
        "Ctrl-C always saves",
        low=0,
    ),
    Option("eval_freq", RUN, COUNT, "N", "evaluate every N steps; keeps best_model.npz", low=1),
    Option(
        "eval_episodes", RUN, COUNT, "N", "episodes of an evaluation (default: {}); 0: none", low=0
    ),
    _setting("n_envs", LEARN, INTEGER, "N", "number of parallel environments", rare=False),
    _setting("n_steps", LEARN, INTEGER, "N", "steps per environment and iteration"),
    _setting(
        "env_kwargs",
        LEARN,
        TABLE,
        "NAME=VALUE",
        "argument of the environment, or JSON of several",
        rare=False,
    ),
    _setting(
        "target_kl",
        LEARN,
        SCHEDULE,
        "KL",
        "size of the trust region: a number, or linear or linear_START, schedules that decay to 0",
    ),
    _setting("policy", LEARN, WORD, "POLICY", f"{' or '.join(POLICIES)} (default: {POLICIES[0]})"),
    _setting(
        "critic", LEARN, WORD, "CRITIC", f"how to fit the value function: {', '.join(CRITICS)}"
    ),
    _setting(
        "preconditioner",
        LEARN,
        WORD,
        "NAME",
        "preconditioner of conjugate gradient: kfac or none",
    ),
    _setting(
        "preset", LEARN, WORD, "NAME", f"reproduce another library's algorithm: {', '.join(PEERS)}"
    ),
    _rare("verbose", LOG, FLAG, "", "print a table per iteration"),
    _rare(
        "log_formats",
        LOG,
        NAMES,
        "LIST",
        "additional logs with Stable-Baselines3's tags, a comma-separated list of "
        f"{', '.join(FORMATS)}; --resume continues the run's logs",
    ),
    _rare("tensorboard", LOG, FLAG, "", "same as --log-formats tensorboard"),
    _setting("n_threads", SYSTEM, INTEGER, "N", "number of threads (default: number of cores)"),
    _setting("dtype", SYSTEM, WORD, "DTYPE", "precision: float32 (default) or float64"),
    _setting(
        "backend",
        SYSTEM,
        WORD,
        "BACKEND",
        "compiled or portable (default: compiled if installed)",
    ),
    _setting(
        "env_backend",
        SYSTEM,
        WORD,
        "BACKEND",
        "native (fasttrpo's implementation of the environment), gymnasium (Gymnasium's) or async "
        "(Gymnasium's, each environment in its own process); default: native if there is one",
    ),
)
BY_NAME = {option.name: option for option in OPTIONS}
SETTINGS = tuple(option.name for option in OPTIONS if option.is_setting)


def declare(train: Parser) -> None:
    """Declares all options."""
    what = "Gymnasium's id, a sim.so or a sim.py:walk"
    train.add(RUN, "env_id", metavar="ENV_ID", nargs="?", type=as_typed, help=what)
    for option in OPTIONS:
        _declare(train, option)
    what = "set any setting of TRPO: --set gamma=0.9"
    train.add(LEARN, "--set", action="append", default=[], metavar="NAME=VALUE", help=what)
    add_progress(train, rare=True)
    what = "run the code that RUN or FILE names as its environment"
    train.add(SYSTEM, "--trust", rare=True, action="store_true", help=what)


def declare_one(parser: Parser, group: str, name: str) -> None:
    """Declares an option of train for another command, in a group of its help."""
    _declare(parser, BY_NAME[name]._replace(group=group, rare=False))


def _declare(train: Parser, option: Option) -> None:
    arguments: dict[str, Any] = {"help": option.text.format(evaluation.EVAL_EPISODES)}
    if option.kind is FLAG:
        arguments |= {"action": "store_true", "default": None}
    else:
        arguments |= {"type": option.kind.parse, "metavar": option.metavar}
    if option.kind is TABLE:
        arguments["action"] = _Merge
    train.add(option.group, option.flag, rare=option.rare, **arguments)


def check(args: argparse.Namespace) -> None:
    """Raises UsageError for the first value that is too small or too large."""
    for option in OPTIONS:
        option.check(getattr(args, option.name), option.flag)


def is_evaluation_off(args: argparse.Namespace) -> bool:
    """Whether `--eval-episodes 0` also overrides the eval_freq of a file or a resumed run."""
    return args.eval_episodes == 0 and args.eval_freq is None


def every(args: argparse.Namespace) -> float:
    """The seconds between checkpoints."""
    given: float | None = args.checkpoint_every
    return CHECKPOINT_EVERY if given is None else given
