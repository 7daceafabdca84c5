"""The table of critics, their only description in Python outside the twin.

The fits are in `csrc/core/critic.c`; `fasttrpo/portable/critic.py` specifies them.
"""

from __future__ import annotations

from typing import NamedTuple


class Critic(NamedTuple):
    """Everything that depends on the choice of a critic."""

    summary: str
    """how it fits V to the returns"""
    n_features: int = 0
    """0: a network with the layers net_arch["vf"]. Otherwise V is linear: a bias, and coefficients
    of this many features of each network input."""
    settings: tuple[str, ...] = ()
    """the settings, except n_critic_updates, that apply to it but not to every critic"""
    n_updates: int = 1
    """the default of n_critic_updates"""
    cheaper: str | None = None
    """the default critic if layers are too large for this one (cost.py)"""

    @property
    def is_network(self) -> bool:
        """Whether its parameters are the layers of a network."""
        return self.n_features == 0


CRITICS: dict[str, Critic] = {
    "kfac": Critic(
        "epochs of minibatches, a natural gradient step each",
        settings=("batch_size",),
        cheaper="adam",
    ),
    "gauss_newton": Critic("preconditioned conjugate gradient on all rows"),
    "adam": Critic("epochs of minibatches", settings=("learning_rate", "batch_size"), n_updates=10),
    "ridge": Critic("ridge regression on the inputs and their squares", n_features=2),
}

MEANINGS = "; ".join(f"{name}: {critic.summary}" for name, critic in CRITICS.items())


def minibatch_rows(rows: int) -> int:
    """The default batch_size of kfac, for the rows of a rollout."""
    return min(rows, max(64, min(512, rows // 16)))


def critics_with(name: str) -> list[str]:
    """The critics that a setting applies to; [] if it applies to all."""
    return [critic for critic, of in CRITICS.items() if name in of.settings]
