"""The settings of an agent: plain values, checked, with every default filled in."""

from __future__ import annotations

from dataclasses import dataclass, fields

from fasttrpo.checks.distributions import DISTRIBUTIONS
from fasttrpo.checks.values import size
from fasttrpo.settings.critics import CRITICS
from fasttrpo.settings.policy_kwargs import resolve_features
from fasttrpo.settings.schedules import SCHEDULED, value_at
from fasttrpo.settings.table import ROWS, CoreSettings
from fasttrpo.settings.user import Settings


@dataclass(frozen=True)
class AgentSettings(CoreSettings):
    """Everything that a backend needs to make an agent."""

    policy_hidden: tuple[int, ...] = (64, 64)
    value_hidden: tuple[int, ...] = (64, 64)
    n_threads: int = 1


def resolve(
    settings: Settings,
    obs_size: int,
    distribution: str,
    parts: tuple,
    n_threads: int = 1,
    remaining: float = 1.0,
) -> AgentSettings:
    """`settings` for the given spaces, with every default filled in.

    n_threads  the number of threads, from the setting or the machine
    remaining  the remaining progress, which schedules are functions of (schedules.py)

    Raises ValueError for spaces that are too large or have too many features.
    """
    size("the number of observation components", obs_size)
    size("the number of action outputs", sum(parts))
    network = dict(settings.policy_kwargs or {})
    copied = {f.name for f in fields(Settings)} & {f.name for f in fields(AgentSettings)}
    values = {name: getattr(settings, name) for name in copied}
    values["n_threads"] = n_threads
    values["cg_max_steps"] = settings.cg_max_steps or cg_steps(settings.preconditioner)
    values["n_critic_updates"] = settings.n_critic_updates or CRITICS[settings.critic].n_updates
    for name in SCHEDULED:
        row = ROWS[name]
        values[name] = value_at(name, getattr(settings, name), row.default, remaining, row.check)
    for name in ("target_kl", "cg_damping"):
        values[name] *= averaged(settings, distribution, parts)
    values["batch_size"] = settings.batch_size or AgentSettings.batch_size
    return AgentSettings(
        obs_size=obs_size,
        distribution=distribution,
        parts=parts,
        policy_hidden=tuple(network["net_arch"]["pi"]),
        value_hidden=tuple(network["net_arch"]["vf"]),
        activation=network["activation_fn"],
        log_std_init=network["log_std_init"],
        log_std_min=network["log_std_min"],
        log_std_max=network["log_std_max"],
        ortho_init=network["ortho_init"],
        **resolve_features(network, obs_size),
        **values,
    )


def averaged(settings: Settings, distribution: str, parts: tuple) -> int:
    """D, the number of action components over which a peer averages the KL; an agent sums it.

    kl_reduction="mean" is sb3-contrib's .mean() (stable_baselines3.common.distributions,
    kl_divergence), which averages over rows and the components of a Gaussian or Bernoulli policy,
    but sums those of MultiDiscrete: then D = 1. The KL is KL/D and its Hessian F/D. Then

        KL/D <= delta                            is  KL <= D delta
        (F/D + damping I) y = g                  is  y = D x,  (F + D damping I) x = g
        beta = sqrt(2 delta / y'(F/D + damping I)y)
             = sqrt(2 delta / (D x'(F + D damping I)x))
        beta y = sqrt(2 D delta / x'(F + D damping I)x) x

    so multiplying target_kl and cg_damping by D gives the same step, trial by trial (CG scales with
    its matrix, and so do the inverses of the K-FAC factors).
    """
    is_mean = settings.kl_reduction == "mean" and DISTRIBUTIONS[distribution].averages_kl
    return len(parts) if is_mean else 1


def cg_steps(preconditioner: str | None) -> int:
    """The default of `cg_max_steps`."""
    return 3 if preconditioner == "kfac" else 15
