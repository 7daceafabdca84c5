"""What a simulation that went wrong raises."""

from __future__ import annotations


class SimulationError(ValueError):
    """A simulation failed, or answered what is no number; the message says which, when and why.

    The other environments are as they were. `env` is the failing one's index, `step` the step
    of its episode (0: its reset).
    """

    def __init__(self, message: str, env: int, step: int) -> None:
        super().__init__(message)
        self.env, self.step = env, step
