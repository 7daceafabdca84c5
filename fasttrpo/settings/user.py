"""The keywords of `TRPO`.

`Settings` checks and converts each value once, in its constructor, and keeps no reference to a
user's object. `agent.resolve` then fills in values that depend on spaces and other settings.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from fasttrpo.checks import plain_json
from fasttrpo.checks.suggest import unknown
from fasttrpo.checks.values import Check, flag, integer, one_of, optional, plain, refuse, size
from fasttrpo.errors import UserError, UserTypeError
from fasttrpo.settings import sb3_arguments
from fasttrpo.settings.critics import CRITICS, MEANINGS, critics_with
from fasttrpo.settings.policy_kwargs import network, wants_unit_scale
from fasttrpo.settings.schedules import Schedule, scheduled
from fasttrpo.settings.table import ROWS

POLICIES = ("MlpPolicy", "LinearPolicy")
ACCEPTANCES = ROWS["acceptance"].choices
KL_DIRECTIONS = ROWS["kl_direction"].choices
KL_REDUCTIONS = ("sum", "mean")
PEERS = ("sb3", "baselines", "spinningup", "tianshou", "mjrl")
DTYPES = ("float32", "float64")
BACKENDS = ("compiled", "portable")
ENV_BACKENDS = ("native", "gymnasium", "async")
# The largest number of rows that a C int can count, with a margin, as in csrc/core/settings.c.
LARGEST_N = 2**31 - 1 - 256
MOST_THREADS = 1024
# Settings that `change` cannot replace, besides the policy.
FIXED = ("policy_kwargs", "preset", "scale_actions", "seed")


def _setting(default: Any, check: Check, meaning: str, accepts: str = "") -> Any:
    """A field of `Settings` with its check and its meaning, for docs/settings.md.

    accepts  the type of what users may pass, unless it is the type of the field
    """
    metadata = {"check": check, "meaning": meaning, "accepts": accepts}
    return field(default=default, metadata=metadata)


def _core(name: str, *, check: Check | None = None, meaning: str = "", **given: Any) -> Any:
    """A setting of the core; default, range and meaning are its row's unless passed here.

    meaning  is appended to the row's
    """
    row = ROWS[name]
    together = "; ".join(filter(None, (row.meaning, meaning)))
    default, accepts = given.get("default", row.default), given.get("accepts", "")
    return _setting(default, check or row.check, together, accepts)


def _optional(name: str, meaning: str) -> Any:
    """A setting of the core that defaults to None; `meaning` says what None stands for."""
    return _core(name, check=optional(ROWS[name].check), meaning=f"None: {meaning}", default=None)


def _none_is_a_word(name: str, value: Any) -> str:
    return ROWS["preconditioner"].check(name, "none" if value is None else value)


def _verbose(name: str, value: Any) -> int:
    value = plain(value)
    return integer(0)(name, int(value) if isinstance(value, bool) else value)


def _path(name: str, value: Any) -> str:
    if not isinstance(value, str | os.PathLike):
        raise refuse(name, value, "a path")
    return os.fspath(value)


def _dtype(name: str, value: Any) -> str:
    return one_of(*DTYPES)(name, getattr(value, "__name__", None) or str(value))


@dataclass(frozen=True)
class Settings:
    """The keywords of `TRPO(policy, env, ...)`, named as in sb3-contrib if they mean the same.

    The constructor checks every value; its ValueError names the setting, the value and the range.
    Each field's metadata has its `check` and its `meaning`, which docs/settings.md lists.
    """

    policy: str = _setting(
        "MlpPolicy",
        one_of(*POLICIES),
        "the policy's network; LinearPolicy has no hidden layer. MultiInputPolicy means MlpPolicy",
    )
    learning_rate: float | str | Schedule | None = _core(  # noqa: RUF009
        "learning_rate",
        default=None,
        check=optional(scheduled(ROWS["learning_rate"].check)),
        meaning=f"only for critic='adam'. None: {ROWS['learning_rate'].default:g}",
    )
    n_steps: int = _core("n_steps")
    batch_size: int | None = _setting(
        None,
        optional(size),
        "largest number of rows in a minibatch of critic='adam' or 'kfac'. None: 128 for adam; "
        "for kfac a sixteenth of the rows, within 64 and 512, or all rows if the value function is "
        "linear",
    )
    gamma: float = _core("gamma")
    cg_max_steps: int | None = _optional("cg_max_steps", "3 with K-FAC, 15 without")
    cg_damping: float = _core("cg_damping")
    adaptive_damping: bool = _core("adaptive_damping")
    line_search_shrinking_factor: float = _core("line_search_shrinking_factor")
    line_search_max_iter: int = _core("line_search_max_iter")
    n_critic_updates: int | None = _optional("n_critic_updates", "10 for adam, 1 otherwise")
    gae_lambda: float = _core("gae_lambda")
    normalize_advantage: bool = _core("normalize_advantage")
    target_kl: float | str | Schedule = _core(  # noqa: RUF009
        "target_kl", check=scheduled(ROWS["target_kl"].check)
    )
    ent_coef: float = _core("ent_coef")
    kl_reduction: str = _setting(
        "sum",
        one_of(*KL_REDUCTIONS),
        "reduction of the KL over action dimensions. mean: as in sb3-contrib, the mean for Box and "
        "MultiBinary, the sum for MultiDiscrete. target_kl and cg_damping then refer to this KL; "
        "records contain sums",
    )
    kl_direction: str = _core("kl_direction")
    kl_slack: float = _core("kl_slack")
    acceptance: str = _core("acceptance")
    sub_sampling_factor: int = _core("sub_sampling_factor")
    policy_kwargs: dict[str, Any] = _setting(  # noqa: RUF009
        None,
        Check("a dict", lambda name, value: value),  # __post_init__ checks and completes it
        "networks, initial standard deviation and features (see below)",
        accepts="Mapping[str, Any] | None",
    )
    stats_window_size: int = _setting(
        100, size, "number of latest episodes over which return_mean and length_mean are taken"
    )
    max_records: int | None = _setting(
        5000,
        optional(size),
        "latest iterations kept in `records`, about 2 kB each. None: all. Logs always have all",
    )
    verbose: int = _setting(
        0, Check("an integer >= 0", _verbose), "0: silent; 1: a table per iteration"
    )
    tensorboard_log: str | None = _setting(
        None,
        optional(Check("a path", _path)),
        "folder for TensorBoard logs (requires the extra `tensorboard`). None: no such logs",
        accepts="str | os.PathLike[str] | None",
    )
    seed: int = field(
        default_factory=lambda: int.from_bytes(os.urandom(4), "little"),
        metadata={
            "check": ROWS["seed"].check,
            "meaning": "seed of all random numbers. None: draw one; `settings.seed` has it",
            "accepts": "int | None",
        },
    )
    preset: str | None = _setting(
        None, optional(one_of(*PEERS)), "library whose settings become the defaults"
    )
    n_envs: int = _core("n_envs", meaning="made from an id, a class, a function or a library")
    env_backend: str | None = _setting(
        None,
        optional(one_of(*ENV_BACKENDS)),
        "which library makes environments from an id. native: fasttrpo. async: gymnasium, each "
        "environment in its own process, those of classes and functions too. None: native if it "
        "has the id, else gymnasium",
    )
    env_kwargs: dict[str, Any] | None = _setting(  # noqa: RUF009
        None,
        optional(plain_json.keywords("bind it instead: functools.partial(MyEnv, name=value)")),
        "keyword arguments for the environments made; saved with the model. Tuples become lists",
        accepts="Mapping[str, Any] | None",
    )
    clip_actions: bool = _setting(
        True,
        flag,
        "clip the actions sent to the environment to the bounds of a Box; the policy is trained on "
        "the actions as drawn",
    )
    scale_actions: bool = _setting(
        False,
        flag,
        "map the policy's -1 and 1 to the bounds of a Box, which must be finite",
    )
    dtype: str = _setting(
        "float32",
        Check(one_of(*DTYPES).legal, _dtype, DTYPES),
        "precision of the work on the batch",
        accepts="str | type[np.floating[Any]] | np.dtype[Any]",
    )
    backend: str | None = _setting(
        None,
        optional(one_of(*BACKENDS)),
        "None: compiled, or portable if no extension is built",
    )
    preconditioner: str = _core(
        "preconditioner",
        check=optional(ROWS["preconditioner"].check)._replace(convert=_none_is_a_word),
        accepts="str | None",
    )
    critic: str = _core("critic", meaning=MEANINGS)
    normalize_observations: bool = _core("normalize_observations")
    normalize_rewards: bool = _core("normalize_rewards")
    n_threads: int | None = _setting(
        None,
        optional(integer(1, MOST_THREADS)),
        "number of threads that work on a batch; results do not depend on it, and the portable "
        "backend uses one. None: FASTTRPO_NUM_THREADS, or else the cores that this process may use",
    )

    def __post_init__(self) -> None:
        for each in fields(self):
            checked = each.metadata["check"](each.name, getattr(self, each.name))
            object.__setattr__(self, each.name, checked)
        object.__setattr__(self, "policy_kwargs", network(self.policy, self.policy_kwargs))
        integer(1, LARGEST_N)("n_steps * n_envs", self.n_steps * self.n_envs)
        if self.adaptive_damping and self.cg_damping == 0:
            raise refuse("cg_damping", self.cg_damping, "a number > 0 with adaptive_damping")


def make_settings(policy: str | type, keywords: Mapping[str, Any]) -> Settings:
    """`TRPO`'s keywords as `Settings`, without harmless arguments of Stable-Baselines3.

    Raises TypeError for an unknown setting, ValueError for a value out of range. Warns about a
    setting that the critic does not use, and about features of unscaled observations.
    """
    name, keywords = sb3_arguments.policy_name(policy), sb3_arguments.drop_ignored(keywords)
    _check_names(keywords)
    given = {name: value for name, value in keywords.items() if name != "seed" or value is not None}
    settings = Settings(name, **given)
    _warn_unused(settings, keywords)
    _warn_scale(settings)
    return settings


def signature() -> inspect.Signature:
    """The signature that `help(TRPO)` shows, from the fields of `Settings`."""
    kinds = inspect.Parameter
    given = [kinds(name, kinds.POSITIONAL_OR_KEYWORD) for name in ("policy", "env")]
    keywords = [
        kinds(f.name, kinds.KEYWORD_ONLY, default=None if f.name == "seed" else f.default)
        for f in fields(Settings)
        if f.name != "policy"
    ]
    return inspect.Signature(given + keywords)


def check_rows(settings: Settings) -> None:
    """Raises ValueError if an iteration has too few rows; warns if batch_size exceeds them."""
    rows = settings.n_steps * settings.n_envs
    if rows == 1 and settings.normalize_advantage:
        raise TooFewRows(
            "n_steps * n_envs must be at least 2, got 1: a single advantage is normalised to 0; "
            "use more steps, or normalize_advantage=False"
        )
    if settings.batch_size is not None and settings.batch_size > rows:
        warnings.warn(
            f"batch_size={settings.batch_size}, but an iteration has n_steps * n_envs = {rows} "
            "rows: they form one minibatch",
            UserWarning,
            stacklevel=3,
        )


class TooFewRows(UserError, AssertionError):
    """An iteration has a single row. Also an AssertionError, as in Stable-Baselines3."""


def change(settings: Settings, keywords: Mapping[str, Any]) -> Settings:
    """A model's settings with some of them replaced; raises what `make_settings` raises.

    Raises TypeError for `policy` and what is in FIXED, which determine the saved parameters and
    random streams, and ValueError for a critic whose parameters have another shape.
    """
    keywords = sb3_arguments.drop_ignored(keywords)
    _check_names(keywords)
    fixed = sorted(set(FIXED) & set(keywords))
    if fixed:
        raise UserTypeError(f"TRPO: {' and '.join(fixed)} of a saved model cannot be changed")
    changed = replace(settings, **keywords)
    _check_critic(settings.critic, changed.critic)
    _warn_unused(changed, keywords)
    return changed


def forget(settings: Settings, names: Iterable[str]) -> Settings:
    """`settings` with some set to their defaults. Raises TypeError for those in FIXED."""
    defaults = {each.name: each.default for each in fields(Settings)}
    _check_names(dict.fromkeys(names))
    return change(settings, {name: defaults[name] for name in names})


def _check_critic(saved: str, wanted: str) -> None:
    """Raises ValueError unless both critics have parameters of the same shape."""
    shape = CRITICS[saved].n_features
    if CRITICS[wanted].n_features != shape:
        legal = [name for name, critic in CRITICS.items() if critic.n_features == shape]
        raise refuse("critic", wanted, f"{' or '.join(map(repr, legal))} for this saved model")


def _check_names(keywords: Mapping[str, Any]) -> None:
    names = [each.name for each in fields(Settings) if each.name != "policy"]
    for name in keywords:
        if name not in names:
            raise UserTypeError(f"TRPO: {unknown('setting', name, names)}")


def _warn_unused(settings: Settings, keywords: Mapping[str, Any]) -> None:
    for name in keywords:
        critics = critics_with(name)
        if keywords[name] is not None and critics and settings.critic not in critics:
            warnings.warn(
                f"{name} only applies to critic={' or '.join(map(repr, critics))}; "
                f"critic={settings.critic!r} does not use it",
                UserWarning,
                stacklevel=4,
            )


def _warn_scale(settings: Settings) -> None:
    if wants_unit_scale(settings.policy_kwargs) and not settings.normalize_observations:
        name = settings.policy_kwargs["features"]
        remedy = ", or set feature_bandwidth" if name == "fourier" else ""
        warnings.warn(
            f"features={name!r} expect observations of about variance 1: "
            f"set normalize_observations=True{remedy}",
            UserWarning,
            stacklevel=4,
        )
