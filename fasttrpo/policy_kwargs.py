"""`policy_kwargs`: the networks' shapes and the first standard deviation, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fasttrpo.sb3_arguments import policy_kwargs_without
from fasttrpo.suggest import unknown
from fasttrpo.values import real, refuse, size

ACTIVATIONS = ("tanh", "relu", "identity")
HIDDEN = (64, 64)


def network(policy: str, given: Any) -> dict[str, Any]:
    """`policy_kwargs` as plain values: net_arch {pi, vf}, activation_fn, log_std_init."""
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise refuse("policy_kwargs", given, "a dict")
    given = policy_kwargs_without(given)
    known = ("net_arch", "activation_fn", "log_std_init", "ortho_init")
    for name in given:
        if name not in known:
            raise TypeError(f"policy_kwargs: {unknown('name', str(name), known)}")
    if given.get("ortho_init", True) is not True:
        raise refuse("policy_kwargs ortho_init", given["ortho_init"], "True")
    return {
        "net_arch": _net_arch(policy, given.get("net_arch")),
        "activation_fn": _activation(given.get("activation_fn", "tanh")),
        "log_std_init": real("a number from -20 to 20", lambda x: -20 <= x <= 20)(
            "policy_kwargs log_std_init", given.get("log_std_init", 0.0)
        ),
    }


def _net_arch(policy: str, given: Any) -> dict[str, list[int]]:
    """Hidden widths of the policy (pi) and of the value network (vf)."""
    linear = policy == "LinearPolicy"
    arch = {"pi": () if linear else HIDDEN, "vf": HIDDEN}
    if isinstance(given, Mapping):
        for name in given:
            if name not in arch:
                raise ValueError(f"policy_kwargs net_arch: {unknown('name', str(name), arch)}")
        arch |= given
    elif given is not None:
        arch = {"pi": given, "vf": given}
    arch = {name: _widths(f"policy_kwargs net_arch {name}", arch[name]) for name in arch}
    if linear and arch["pi"]:
        raise ValueError(
            f"LinearPolicy has no hidden layers, got net_arch pi={arch['pi']}; "
            "the value network's are set by net_arch=dict(vf=[...])"
        )
    return arch


def _widths(name: str, given: Any) -> list[int]:
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise refuse(name, given, "a list of layer widths")
    return [size(f"{name} width", width) for width in given]


def _activation(given: Any) -> str:
    """A name, or anything named like one: torch.nn.Tanh serves without importing torch."""
    name = given if isinstance(given, str) else getattr(given, "__name__", None)
    if not isinstance(name, str) or name.lower() not in ACTIVATIONS:
        legal = f"one of {', '.join(ACTIVATIONS)} or a class of such a name"
        raise refuse("policy_kwargs activation_fn", given, legal)
    return name.lower()
