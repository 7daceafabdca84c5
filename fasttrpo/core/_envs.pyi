"""The types of the bindings of environments in C, which _envs.pyx documents."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

DISABLED: int
SAME_STEP: int
NEXT_STEP: int
RUN_STAGE: int

def names() -> list[str]: ...
def elementary() -> dict[str, int]: ...

class Envs:
    source: Any
    num_envs: int
    states: NDArray[np.uint8]
    obs: NDArray[np.float64]
    final_obs: NDArray[np.float64]
    rew: NDArray[np.float64]
    term: NDArray[np.bool_]
    trunc: NDArray[np.bool_]
    episode_return: NDArray[np.float64]
    episode_length: NDArray[np.int64]
    mask: NDArray[np.uint8] | None
    def __init__(
        self,
        source: Any,
        num_envs: int = 1,
        *,
        seed: int = 0,
        options: Mapping[str, float] | None = None,
        max_episode_steps: int | None = None,
    ) -> None: ...
    def close(self) -> None: ...
    def describe(self) -> dict[str, Any]: ...
    @property
    def capsule(self) -> Any: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    @property
    def options(self) -> dict[str, float]: ...
    @property
    def reset_options(self) -> list[str]: ...
    def set_options(self, given: Mapping[str, float]) -> None: ...
    def seed(self, seed: int) -> None: ...
    def seed_one(self, e: int, seed: int, number: int = 0) -> None: ...
    def reset(self, mask: ArrayLike | None = None) -> None: ...
    def step(self, act: ArrayLike, autoreset: int) -> None: ...
    def steps(self, act: ArrayLike, autoreset: int) -> None: ...
    def observe(self) -> None: ...
    @property
    def is_savable(self) -> bool: ...
    def save(self) -> bytes: ...
    def load(self, saved: bytes) -> None: ...
    def refuse(
        self,
        *,
        env: int,
        step: int,
        code: int,
        component: int,
        status: int,
        act: ArrayLike,
        row: int | None = None,
    ) -> NoReturn: ...
