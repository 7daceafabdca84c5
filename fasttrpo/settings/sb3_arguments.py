"""Stable-Baselines3's arguments that are not settings here: dropped if harmless, else refused.

An argument is harmless if its value requests what fasttrpo does anyway. Any other value raises
ValueError with the reason, or causes a warning if it only makes the run slower.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from fasttrpo.checks.values import plain
from fasttrpo.errors import UserError

_MLP = ("MlpPolicy", "MultiInputPolicy", "ActorCriticPolicy", "MultiInputActorCriticPolicy")
_CNN = ("CnnPolicy", "ActorCriticCnnPolicy")
_FLAT_EXTRACTORS = ("FlattenExtractor", "CombinedExtractor")

# Keywords of `TRPO`: name -> (the harmless values, why there are no others).
KEYWORDS: dict[str, tuple[tuple[Any, ...], str]] = {
    "use_sde": ((False,), "state-dependent exploration (gSDE) is not implemented"),
    "rollout_buffer_class": ((None,), "the core stores rollouts"),
    "rollout_buffer_kwargs": ((None, {}), "the core stores rollouts"),
    "_init_setup_model": ((True,), "a model is always built at once"),
}
_POLICY_KWARGS: dict[str, tuple[tuple[Any, ...], str]] = {
    "use_sde": ((False,), "state-dependent exploration (gSDE) is not implemented"),
    "squash_output": (
        (False,),
        "actions are not squashed; use clip_actions or scale_actions",
    ),
    "full_std": ((True,), "it is part of gSDE, which is not implemented"),
    "use_expln": ((False,), "it is part of gSDE, which is not implemented"),
    "normalize_images": ((True,), "uint8 images are always scaled to 0..1; pass them as floats"),
    "optimizer_class": (
        (None,),
        "the policy has no optimizer; critic= chooses the value network's",
    ),
    "optimizer_kwargs": ((None, {}), "learning_rate and critic= are the value network's"),
}


def policy_name(policy: Any) -> Any:
    """ "MlpPolicy" for the names and classes that Stable-Baselines3 has for it; others unchanged.

    Raises ValueError for a policy with convolutions.
    """
    name = policy if isinstance(policy, str) else getattr(policy, "__name__", None)
    if name in _CNN:
        raise UserError(
            f"{name}: convolutions are not supported; 'MlpPolicy' flattens images, or wrap the "
            "environment so that it observes features of them"
        )
    return "MlpPolicy" if name in _MLP else policy


def drop_ignored(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """`TRPO`'s keywords without those that only Stable-Baselines3 has."""
    rest = _dropped("", keywords, KEYWORDS)
    rest.pop("sde_sample_freq", None)  # of gSDE
    if "device" in rest:
        check_device(rest.pop("device"))
    return rest


def drop_ignored_policy_kwargs(given: Mapping[str, Any]) -> dict[str, Any]:
    """`policy_kwargs` without those that only Stable-Baselines3 has."""
    rest = _dropped("policy_kwargs ", given, _POLICY_KWARGS)
    rest.pop("share_features_extractor", None)  # flattening has no parameters to share
    extractor = rest.pop("features_extractor_class", None)
    if extractor is not None and getattr(extractor, "__name__", None) not in _FLAT_EXTRACTORS:
        raise UserError(
            f"policy_kwargs features_extractor_class: {extractor!r} is not supported; observations "
            "are flattened, so wrap the environment instead, or set normalize_observations=True if "
            "it only normalises them"
        )
    if rest.pop("features_extractor_kwargs", None):
        warnings.warn(
            "policy_kwargs features_extractor_kwargs has no effect: observations are flattened",
            UserWarning,
            stacklevel=2,
        )
    return rest


def check_device(device: Any) -> None:
    """Accepts "auto" and the CPU, warns about a GPU, raises ValueError for anything else."""
    name = str(getattr(device, "type", device)).partition(":")[0]
    if name in ("cuda", "mps", "xpu"):
        warnings.warn(
            f"device={name!r} has no effect: fasttrpo runs on the CPU", UserWarning, stacklevel=2
        )
    elif name not in ("auto", "cpu"):
        raise UserError(f"device must be 'auto' or 'cpu', got {device!r}")


def _dropped(
    prefix: str, given: Mapping[str, Any], known: Mapping[str, tuple[tuple[Any, ...], str]]
) -> dict[str, Any]:
    """`given` without the names in `known`. Raises ValueError if one has another value."""
    for name, (harmless, reason) in known.items():
        if name in given and not any(_is(given[name], value) for value in harmless):
            raise UserError(
                f"{prefix}{name}={given[name]!r} is not supported: {reason}; leave it out"
            )
    return {name: value for name, value in given.items() if name not in known}


def _is(given: Any, value: Any) -> bool:
    """Equal and of the same type: 1 is not True here."""
    given = plain(given)
    return type(given) is type(value) and given == value
