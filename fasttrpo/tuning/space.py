"""The search space: which settings are searched, and where.

A `Knob` is one parameter of the search. Most are a setting of `TRPO`; a few are what matters about
several of them: the rows of an iteration, for example, instead of the steps per environment. `get`
and `put` convert between a knob's value and complete settings, so that a search can start from any
settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from fasttrpo.settings.critics import CRITICS
from fasttrpo.settings.table import ROWS

Values = dict[str, Any]
LINEAR = "linear_"  # a schedule that decays to 0
NETWORK = "policy_kwargs."


class Facts(NamedTuple):
    """What decides whether a knob applies to a task."""

    acts_with_reals: bool
    sees_reals: bool
    is_linear: bool
    """the policy has no hidden layers"""
    critic: str
    """of the first trial; not kfac if that would cost too much"""


class Knob(NamedTuple):
    """One parameter of the search.

    settings   the settings that it decides; it is left out if the user has fixed one of them.
               Those in policy_kwargs are written "policy_kwargs.NAME"
    low, high  the range of a number; integers if `low` is one
    is_log     whether the range is searched on a logarithmic scale
    choices    the values of a choice, or ()
    get        settings -> value
    put        changes the settings for a value
    applies    (facts, settings so far) -> whether the knob has an effect
    """

    name: str
    settings: tuple[str, ...]
    get: Callable[[Values], Any]
    put: Callable[[Values, Any], None]
    low: float = 0
    high: float = 0
    is_log: bool = False
    choices: tuple[Any, ...] = ()
    applies: Callable[[Facts, Values], bool] = lambda facts, settings: True

    def including(self, value: Any) -> Knob:
        """The knob with a range that includes the value."""
        if self.choices:
            known = value in self.choices
            return self if known else self._replace(choices=(*self.choices, value))
        return self._replace(low=min(self.low, value), high=max(self.high, value))

    def draw(self, trial: Any) -> Any:
        """A value for one of Optuna's trials."""
        if self.choices:
            return trial.suggest_categorical(self.name, self.choices)
        suggest = trial.suggest_int if isinstance(self.low, int) else trial.suggest_float
        return suggest(self.name, self.low, self.high, log=self.is_log)


# -- conversions ----------------------------------------------------------------------------------


def _of_setting(name: str) -> tuple[tuple[str, ...], Any, Any]:
    """settings, get and put of a knob that is a setting."""
    return (name,), lambda settings: settings[name], lambda settings, x: settings.update({name: x})


def _of_network(name: str) -> tuple[tuple[str, ...], Any, Any]:
    """settings, get and put of a knob that is in policy_kwargs."""

    def put(settings: Values, value: Any) -> None:
        settings["policy_kwargs"][name] = value

    return (NETWORK + name,), lambda settings: settings["policy_kwargs"][name], put


def _of_complement(name: str) -> tuple[tuple[str, ...], Any, Any]:
    """settings, get and put of 1 - setting: the distance of a discount from 1 matters."""
    return (
        (name,),
        lambda settings: rounded(1 - settings[name]),
        lambda settings, x: settings.update({name: rounded(1 - x, 6)}),
    )


def _get_target_kl(settings: Values) -> float:
    return float(str(settings["target_kl"]).removeprefix(LINEAR))


def _get_schedule(settings: Values) -> str:
    return "linear" if str(settings["target_kl"]).startswith(LINEAR) else "constant"


def _put_schedule(settings: Values, kind: str) -> None:
    if kind == "linear":
        settings["target_kl"] = f"{LINEAR}{settings['target_kl']:g}"


def _put_rows(settings: Values, rows: int) -> None:
    settings["n_steps"] = max(2, round(rows / settings["n_envs"]))


def _get_epochs(settings: Values) -> int:
    return settings["n_critic_updates"] or CRITICS[settings["critic"]].n_updates


def _get_learning_rate(settings: Values) -> float:
    return settings["learning_rate"] or ROWS["learning_rate"].default


def _get_net_arch(settings: Values) -> str:
    """ "64-64", or "64-64 and 128-128" if the critic's network differs"""
    arch = settings["policy_kwargs"]["net_arch"]
    pi, vf = ("-".join(map(str, arch[name])) for name in ("pi", "vf"))
    return pi if pi == vf else f"{pi} and {vf}"


def _put_net_arch(settings: Values, text: str) -> None:
    pi, _, vf = text.partition(" and ")
    widths = {"pi": pi, "vf": vf or pi}
    settings["policy_kwargs"]["net_arch"] = {
        name: [int(width) for width in each.split("-") if width] for name, each in widths.items()
    }


def _has_critic(name: str) -> Callable[[Facts, Values], bool]:
    return lambda facts, settings: settings["critic"] == name


# -- the table ------------------------------------------------------------------------------------

_EPOCHS = ("n_critic_updates",), _get_epochs, _of_setting("n_critic_updates")[2]
_BATCH = ("n_steps",), lambda settings: settings["n_steps"] * settings["n_envs"], _put_rows
_TARGET = ("target_kl",), _get_target_kl, _of_setting("target_kl")[2]
_SCHEDULE = ("target_kl",), _get_schedule, _put_schedule
_NET_ARCH = (NETWORK + "net_arch",), _get_net_arch, _put_net_arch
_CRITICS = "kfac", "adam"
BATCH = "n_steps x n_envs"
LEAST_ROWS, MOST_ROWS = 512, 16_384

# In the order in which they are put: a knob may read what those before it have put.
KNOBS = (
    # The KL is summed over action components: tasks with many need a large one.
    Knob("target_kl", *_TARGET, 0.003, 0.2, True),
    Knob("kl_schedule", *_SCHEDULE, choices=("constant", "linear")),
    Knob("1 - gamma", *_of_complement("gamma"), 5e-4, 0.1, True),
    Knob("1 - gae_lambda", *_of_complement("gae_lambda"), 0.005, 0.2, True),
    Knob("n_envs", *_of_setting("n_envs"), 4, 32, True),
    Knob(BATCH, *_BATCH, LEAST_ROWS, MOST_ROWS, True),
    Knob("cg_damping", *_of_setting("cg_damping"), 0.02, 2.0, True),
    Knob(
        "normalize_observations",
        *_of_setting("normalize_observations"),
        choices=(False, True),
        applies=lambda facts, settings: facts.sees_reals,
    ),
    Knob("normalize_rewards", *_of_setting("normalize_rewards"), choices=(False, True)),
    # A wide policy seldom helps, a wide critic does (Andrychowicz et al. 2020). The time of an
    # update grows with the square of the width, or faster.
    Knob(
        "net_arch",
        *_NET_ARCH,
        choices=("32-32", "64-64", "64-64 and 128-128"),
        applies=lambda facts, settings: not facts.is_linear,
    ),
    Knob(
        "critic",
        *_of_setting("critic"),
        choices=_CRITICS,
        applies=lambda facts, settings: facts.critic == _CRITICS[0],
    ),
    Knob("kfac_epochs", *_EPOCHS, 1, 4, True, applies=_has_critic("kfac")),
    Knob("adam_epochs", *_EPOCHS, 4, 20, True, applies=_has_critic("adam")),
    Knob(
        "learning_rate",
        ("learning_rate",),
        _get_learning_rate,
        _of_setting("learning_rate")[2],
        3e-4,
        3e-3,
        True,
        applies=_has_critic("adam"),
    ),
    Knob(
        "log_std_init",
        *_of_network("log_std_init"),
        -2.0,
        0.5,
        applies=lambda facts, settings: facts.acts_with_reals,
    ),
    Knob(
        "ent_coef",
        *_of_setting("ent_coef"),
        0.0,
        0.02,
        applies=lambda facts, settings: not facts.acts_with_reals,
    ),
)


def rounded(value: float, digits: int = 3) -> float:
    """The value with a few significant digits, which are enough for a setting."""
    return float(f"{value:.{digits}g}")


# -- the space of one task ------------------------------------------------------------------------


class Space:
    """The knobs of one task, and the settings from which its search starts.

    start  what `TRPO` is called with in the first trial
    full   the same with every default filled in: `asdict(model.settings)`
    fixed  the settings that the user has fixed
    total  steps of a training; an iteration has at most a tenth of them
    """

    def __init__(
        self, start: Values, full: Values, fixed: Mapping[str, Any], facts: Facts, total: int
    ) -> None:
        self._start, self._full, self._facts = start, full, facts
        taken = _names(fixed)
        free = [knob for knob in KNOBS if not taken & {*knob.settings}]
        limited = [k._replace(high=_most_rows(total)) if k.name == BATCH else k for k in free]
        values = self._values(limited)
        self.knobs = tuple(k.including(values[k.name]) if k.name in values else k for k in limited)
        self.start_params = self._values(self.knobs)

    def _values(self, knobs: Iterable[Knob]) -> Values:
        """The knobs' values in the first trial."""
        full, facts = self._full, self._facts
        return {knob.name: knob.get(full) for knob in knobs if knob.applies(facts, full)}

    def settings(self, value_of: Callable[[Knob], Any]) -> Values:
        """The keywords of `TRPO` for a trial, whose values `value_of` draws."""
        settings, names = deepcopy(self._full), dict[str, None]()
        for knob in self.knobs:
            if knob.applies(self._facts, settings):
                value = value_of(knob)
                knob.put(settings, rounded(value) if isinstance(value, float) else value)
                names |= dict.fromkeys(knob.settings)
        top = {name: settings[name] for name in names if not name.startswith(NETWORK)}
        inner = [name.removeprefix(NETWORK) for name in names if name.startswith(NETWORK)]
        network = {**(self._start.get("policy_kwargs") or {})}
        network |= {name: settings["policy_kwargs"][name] for name in inner}
        return {**self._start, **top, **({"policy_kwargs": network} if network else {})}

    def describe(self) -> list[list[Any]]:
        """The space as plain values. A study can only continue in the same space."""
        return [[k.name, k.low, k.high, k.is_log, [*k.choices]] for k in self.knobs]


def _most_rows(total: int) -> int:
    return max(LEAST_ROWS, min(MOST_ROWS, total // 10))


def _names(fixed: Mapping[str, Any]) -> set[str]:
    """The names of settings as knobs write them."""
    return {*fixed} | {NETWORK + name for name in fixed.get("policy_kwargs") or {}}
