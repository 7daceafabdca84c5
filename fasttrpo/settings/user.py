"""What a user may set: the keywords of `TRPO`.

A value is checked and converted once, when a `Settings` is made; `agent.resolve` then
fills in what depends on the spaces and on other settings. Nothing reads the user's own objects
after that.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from fasttrpo.checks.suggest import unknown
from fasttrpo.checks.values import (
    Check,
    flag,
    integer,
    one_of,
    optional,
    plain,
    positive,
    real,
    refuse,
    size,
)
from fasttrpo.errors import UserError, UserTypeError
from fasttrpo.settings import sb3_arguments
from fasttrpo.settings.critics import CRITICS, with_setting
from fasttrpo.settings.policy_kwargs import network, wants_unit_scale
from fasttrpo.settings.schedules import Schedule, scheduled

POLICIES = ("MlpPolicy", "LinearPolicy")
ACCEPTANCES = ("improvement", "kl", "always")
KL_DIRECTIONS = ("forward", "reverse")
KL_REDUCTIONS = ("sum", "mean")
PRECONDITIONERS = ("kfac", "none")
PEERS = ("sb3", "baselines", "spinningup", "tianshou", "mjrl")
DTYPES = ("float32", "float64")
BACKENDS = ("compiled", "portable")
ENV_BACKENDS = ("native", "gymnasium")
# As in csrc/core/settings.c: the rows of a rollout that an int can count with room to spare.
LARGEST_N = 2**31 - 1 - 256
MOST_THREADS = 1024


@dataclass(frozen=True)
class Settings:
    """The keywords of `TRPO(policy, env, ...)`; names as in sb3-contrib where the meaning is.

    Making one checks every value: a ValueError names the setting, the value and the range.

    policy           "MlpPolicy" (or "MultiInputPolicy", the same here) or "LinearPolicy" (no hidden
                     layer in the policy)
    learning_rate    step size of a critic that has one, as "adam" (None: 1e-3); or a schedule, as
                     target_kl
    n_steps          steps per environment and iteration
    batch_size       the most rows of a critic's minibatch (None: the critic's own rule; "kfac" has
                     a sixteenth of the rows, but within 64 and 512, and all rows where it is
                     linear; "adam" has 128)
    gamma            discount per step
    cg_max_steps     conjugate gradient iterations (None: 3 with K-FAC, 15 without)
    cg_damping       added to the Fisher matrix's diagonal; K-FAC's estimated factors have at least
                     1e-3 of it
    adaptive_damping cg_damping, then > 0, is where the damping begins: times 3/2 after an update
                     whose surrogate grew by less than a quarter of what was predicted, times 2/3
                     after more than three quarters (Levenberg and Marquardt; Martens 2010)
    line_search_shrinking_factor, line_search_max_iter    backtracking: factor, number of trials
    n_critic_updates epochs of the critic's minibatches, or its steps on all rows (None: the
                     critic's own default); "ridge" does not use it
    gae_lambda       advantage estimation's lambda
    normalize_advantage    advantages to mean 0, standard deviation 1
    target_kl        trust region: mean over states of the KL summed over action dimensions; or a
                     schedule: "linear", "linear_0.02" or a function (`settings.schedules`)
    ent_coef         c: the surrogate is E[ratio A] + c times the mean entropy in nats
    kl_reduction     "sum" over action dimensions, or "mean", as sb3-contrib has it for Box and
                     MultiBinary (it sums MultiDiscrete's, and so does "mean"): target_kl and
                     cg_damping are then of the mean KL; records tell sums
    kl_direction     the line search measures "forward" KL(old || new), or "reverse" KL(new || old)
    kl_slack         >= 1: the line search lets pass so many times target_kl
    acceptance       of a trial of the line search: "improvement", within the trust region and the
                     surrogate grows; "kl", within it; "always", the full step without a search
                     (natural policy gradient). What is not finite is never taken
    sub_sampling_factor    k: the Fisher product uses every k-th sample
    policy_kwargs    net_arch ([64, 64] or dict(pi=[...], vf=[...])), activation_fn ("tanh",
                     "relu", "identity" or a class of such a name), log_std_init (0), log_std_min
                     (-20) and log_std_max (20), which log_std never leaves, ortho_init=True.
                     LinearPolicy: features ("fourier", "rbf" or "polynomial" of the observation,
                     seen by the value network too), n_features (100), feature_bandwidth (None: for
                     O components of variance 1), feature_degree (2): the formulas stand in
                     csrc/core/features.c
    stats_window_size    episodes that return_mean and length_mean of a record are means of
    max_records      the latest iterations that `records` keeps, some 2 kB each (None: all); logs
                     have them all
    verbose          0 silent, 1 a table per iteration
    tensorboard_log  the folder that TensorBoard's logs go to, if any (the extra `tensorboard`)
    seed             0 <= seed < 2**64 (None: drawn, and recorded)
    preset           the peer whose semantics the others' defaults are (`settings.peers`)
    n_envs           environments made from an id or a shared library
    env_backend      environments made from an id: "native" (fasttrpo's own), "gymnasium" or None
                     (native where there are such)
    clip_actions     actions of a Box reach the environment clipped to its bounds; the policy is
                     trained on them as drawn, whatever they become on their way
    scale_actions    the policy's -1 and 1 are a Box's bounds, all of which must be finite
    dtype            "float32" or "float64": precision of the work on the batch
    backend          "compiled", "portable" or None (see `fasttrpo.core.backend`)
    preconditioner   "kfac" or None
    critic           how V is fitted: a name of `settings.critics.CRITICS`, which describes each
    normalize_observations, normalize_rewards    by running statistics, saved with the model
    n_threads        threads that work on a batch (None: FASTTRPO_NUM_THREADS, or else the cores
                     that this process may use); the numbers are the same for any. The portable
                     backend runs one.
    """

    policy: str = "MlpPolicy"
    learning_rate: float | str | Schedule | None = None
    n_steps: int = 2048
    batch_size: int | None = None
    gamma: float = 0.99
    cg_max_steps: int | None = None
    cg_damping: float = 0.1
    adaptive_damping: bool = False
    line_search_shrinking_factor: float = 0.8
    line_search_max_iter: int = 10
    n_critic_updates: int | None = None
    gae_lambda: float = 0.95
    normalize_advantage: bool = True
    target_kl: float | str | Schedule = 0.01
    ent_coef: float = 0.0
    kl_reduction: str = "sum"
    kl_direction: str = "forward"
    kl_slack: float = 1.0
    acceptance: str = "improvement"
    sub_sampling_factor: int = 1
    policy_kwargs: Any = None  # a mapping, complete once checked
    stats_window_size: int = 100
    max_records: int | None = 5000
    verbose: int = 0
    tensorboard_log: str | None = None
    seed: int = field(default_factory=lambda: int.from_bytes(os.urandom(4), "little"))
    preset: str | None = None
    n_envs: int = 1
    env_backend: str | None = None
    clip_actions: bool = True
    scale_actions: bool = False
    dtype: str = "float32"
    backend: str | None = None
    preconditioner: str = "kfac"
    critic: str = "kfac"
    normalize_observations: bool = False
    normalize_rewards: bool = False
    n_threads: int | None = None

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            object.__setattr__(self, name, check(name, getattr(self, name)))
        object.__setattr__(self, "policy_kwargs", network(self.policy, self.policy_kwargs))
        integer(1, LARGEST_N)("n_steps * n_envs", self.n_steps * self.n_envs)
        if self.adaptive_damping and self.cg_damping == 0:
            raise refuse("cg_damping", self.cg_damping, "a number > 0 with adaptive_damping")


def make_settings(policy: str, keywords: Mapping[str, Any]) -> Settings:
    """The user's keywords as `Settings`; Stable-Baselines3's others are taken where harmless.

    TypeError for a name that is no setting, ValueError for a value out of range; a warning when
    an Adam setting is given for a critic that has no use for it, or features for observations of
    any scale.
    """
    policy, keywords = sb3_arguments.policy_name(policy), sb3_arguments.without(keywords)
    _check_names(keywords)
    given = {name: value for name, value in keywords.items() if name != "seed" or value is not None}
    settings = Settings(policy, **given)
    _warn_unused(settings, keywords)
    _warn_scale(settings)
    return settings


def signature() -> inspect.Signature:
    """What `help(TRPO)` and editors show: `Settings` is the one list of the keywords."""
    kinds = inspect.Parameter
    given = [kinds(name, kinds.POSITIONAL_OR_KEYWORD) for name in ("policy", "env")]
    keywords = [
        kinds(f.name, kinds.KEYWORD_ONLY, default=None if f.name == "seed" else f.default)
        for f in fields(Settings)
        if f.name != "policy"
    ]
    return inspect.Signature(given + keywords)


def check_rows(settings: Settings) -> None:
    """ValueError where an iteration has too few rows; a warning for a batch_size beyond them."""
    rows = settings.n_steps * settings.n_envs
    if rows == 1 and settings.normalize_advantage:
        raise TooFewRows(
            "n_steps * n_envs must be at least 2, got 1: one advantage alone is normalised to 0; "
            "take more steps, or normalize_advantage=False"
        )
    if settings.batch_size is not None and settings.batch_size > rows:
        warnings.warn(
            f"batch_size={settings.batch_size}, but an iteration has n_steps * n_envs = {rows} "
            "rows: all of them are one minibatch",
            UserWarning,
            stacklevel=3,
        )


class TooFewRows(UserError, AssertionError):
    """An iteration has one row only; an AssertionError too, as in Stable-Baselines3."""


def change(settings: Settings, keywords: Mapping[str, Any]) -> Settings:
    """A saved model's settings with some of them replaced; errors as `make_settings` has them.

    TypeError for policy, policy_kwargs, preset, scale_actions and seed: the saved parameters and
    random streams have those. ValueError for a critic whose parameters are not the saved one's.
    """
    keywords = sb3_arguments.without(keywords)
    _check_names(keywords)
    fixed = sorted({"policy_kwargs", "preset", "scale_actions", "seed"} & set(keywords))
    if fixed:
        raise UserTypeError(f"TRPO: {' and '.join(fixed)} of a saved model cannot be changed")
    changed = replace(settings, **keywords)
    _check_critic(settings.critic, changed.critic)
    _warn_unused(changed, keywords)
    return changed


def forget(settings: Settings, names: Iterable[str]) -> Settings:
    """`settings` with the defaults of some names; TypeError for what `change` cannot replace."""
    defaults = {each.name: each.default for each in fields(Settings)}
    _check_names(dict.fromkeys(names))
    return change(settings, {name: defaults[name] for name in names})


def _check_critic(saved: str, wanted: str) -> None:
    """Saved parameters fit critics of the same shape: networks, or the same features."""
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
        critics = with_setting(name)
        if keywords[name] is not None and critics and settings.critic not in critics:
            warnings.warn(
                f"{name} only applies to critic={' or '.join(map(repr, critics))}; "
                f"critic={settings.critic!r} makes no use of it",
                UserWarning,
                stacklevel=4,
            )


def _warn_scale(settings: Settings) -> None:
    if wants_unit_scale(settings.policy_kwargs) and not settings.normalize_observations:
        name = settings.policy_kwargs["features"]
        remedy = ", or set feature_bandwidth" if name == "fourier" else ""
        warnings.warn(
            f"features={name!r} expect observations of about variance 1: "
            f"normalize_observations=True makes them so{remedy}",
            UserWarning,
            stacklevel=4,
        )


# -- the settings' checks: (name, value) -> the value as a plain type, or ValueError -------------


def _preconditioner(name: str, value: Any) -> str:
    return one_of(*PRECONDITIONERS)(name, "none" if value is None else value)


def _verbose(name: str, value: Any) -> int:
    value = plain(value)
    return integer(0)(name, int(value) if isinstance(value, bool) else value)


def _path(name: str, value: Any) -> str:
    if not isinstance(value, str | os.PathLike):
        raise refuse(name, value, "a path")
    return os.fspath(value)


def _dtype(name: str, value: Any) -> str:
    return one_of(*DTYPES)(name, getattr(value, "__name__", None) or str(value))


_FRACTION = real("a number from 0 to 1", lambda x: 0 <= x <= 1)

_CHECKS: dict[str, Check] = {
    "policy": one_of(*POLICIES),
    "learning_rate": optional(scheduled(positive)),
    "n_steps": size,
    "batch_size": optional(size),
    "gamma": _FRACTION,
    "cg_max_steps": optional(size),
    "cg_damping": real("a number >= 0", lambda x: x >= 0),
    "line_search_shrinking_factor": real("a number between 0 and 1", lambda x: 0 < x < 1),
    "line_search_max_iter": size,
    "n_critic_updates": optional(size),
    "gae_lambda": _FRACTION,
    "normalize_advantage": flag,
    "target_kl": scheduled(positive),
    "ent_coef": real("a number >= 0", lambda x: x >= 0),
    "adaptive_damping": flag,
    "kl_reduction": one_of(*KL_REDUCTIONS),
    "kl_direction": one_of(*KL_DIRECTIONS),
    "kl_slack": real("a number >= 1", lambda x: x >= 1),
    "acceptance": one_of(*ACCEPTANCES),
    "sub_sampling_factor": size,
    "stats_window_size": size,
    "max_records": optional(size),
    "verbose": _verbose,
    "tensorboard_log": optional(_path),
    "seed": integer(0, 2**64 - 1),
    "preset": optional(one_of(*PEERS)),
    "n_envs": size,
    "env_backend": optional(one_of(*ENV_BACKENDS)),
    "clip_actions": flag,
    "scale_actions": flag,
    "dtype": _dtype,
    "backend": optional(one_of(*BACKENDS)),
    "preconditioner": _preconditioner,
    "critic": one_of(*CRITICS),
    "normalize_observations": flag,
    "normalize_rewards": flag,
    "n_threads": optional(integer(1, MOST_THREADS)),
}
