"""The table of action distributions, for Python outside the twin.

The backends have the formulas; each entry has counterparts of the same name in the core's table
(csrc/kernels/kernels.h) and in the twin's (fasttrpo/portable/distributions.py).

`parts` has the number of network outputs per action component, act is (rows, D).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line starts without NumPy
    import numpy as np


@dataclass(frozen=True)
class Distribution:
    """One entry of the table.

    outputs      network outputs per component; None: one for each of its choices
    is_real      actions are real numbers, otherwise choices
    has_log_std  theta ends with a log_std for each output
    takes_masks  masks can forbid choices
    averages_kl  sb3-contrib's mean KL also averages over action components (agent.averaged)
    legal        (act, parts) -> (rows, D) bool: which entries are valid actions
    wanted       describes the valid actions of a component with a number of outputs
    filler       a valid action, for rows without one
    """

    outputs: int | None
    is_real: bool
    has_log_std: bool
    takes_masks: bool
    averages_kl: bool
    legal: Callable[[np.ndarray, Sequence[int]], np.ndarray]
    wanted: Callable[[int], str]
    filler: float = 0.0

    def fits(self, parts: Sequence[int]) -> bool:
        """Whether a policy can have these parts, each at least 1."""
        return len(parts) > 0 and (self.outputs is None or set(parts) == {self.outputs})

    def n_log_std(self, parts: Sequence[int]) -> int:
        """Number of parameters in theta after the network's."""
        return sum(parts) if self.has_log_std else 0


def _are_choices(act: np.ndarray, counts: int | Sequence[int]) -> np.ndarray:
    """counts: the number of choices, of each component or of all."""
    return (act >= 0) & (act < counts) & (act == act.round())


DISTRIBUTIONS = {
    "gaussian": Distribution(
        outputs=1,
        is_real=True,
        has_log_std=True,
        takes_masks=False,
        averages_kl=True,
        legal=lambda act, parts: abs(act) < inf,
        wanted=lambda outputs: "a finite number",
    ),
    "categorical": Distribution(
        outputs=None,
        is_real=False,
        has_log_std=False,
        takes_masks=True,
        averages_kl=False,
        legal=_are_choices,
        wanted=lambda outputs: f"one of 0..{outputs - 1}",
    ),
    "bernoulli": Distribution(
        outputs=1,
        is_real=False,
        has_log_std=False,
        takes_masks=False,
        averages_kl=True,
        legal=lambda act, parts: _are_choices(act, 2),
        wanted=lambda outputs: "one of 0..1",
    ),
}
