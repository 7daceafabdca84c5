"""The critics by name, as users and the layers around an agent know them.

This is the one place where Python describes a critic. The fits are in `csrc/core/critic.c` and, as
their specification, in `fasttrpo/portable/critic.py`.
"""

from __future__ import annotations

from typing import NamedTuple


class Critic(NamedTuple):
    """What depends on the choice of a critic."""

    summary: str
    """how it fits V to the returns"""
    n_features: int = 0
    """0: a network with the layers net_arch["vf"]. Otherwise V is linear: coefficients of so many
    features of each number that the networks see, and a bias."""
    settings: tuple[str, ...] = ()
    """the settings, beside n_critic_updates, that apply to it and not to every critic"""
    n_updates: int = 1
    """the default of n_critic_updates"""
    if_too_dear: str | None = None
    """the critic to default to where layers are so large that this one's cost is felt"""

    @property
    def is_network(self) -> bool:
        """Whether its parameters are the layers of a network."""
        return self.n_features == 0


CRITICS: dict[str, Critic] = {
    "kfac": Critic(
        "epochs of minibatches, a natural gradient step each",
        settings=("batch_size",),
        if_too_dear="adam",
    ),
    "gauss_newton": Critic("preconditioned conjugate gradient on all rows"),
    "adam": Critic("epochs of minibatches", settings=("learning_rate", "batch_size"), n_updates=10),
    "ridge": Critic("ridge regression on the inputs and their squares", n_features=2),
}

MEANINGS = "; ".join(f"{name}: {critic.summary}" for name, critic in CRITICS.items())


def with_setting(name: str) -> list[str]:
    """The critics that a setting of some critics applies to; [] for a setting of all."""
    return [critic for critic, of in CRITICS.items() if name in of.settings]
