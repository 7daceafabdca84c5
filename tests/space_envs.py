"""Environments of every space whose best action can be read from the observation."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatten
from helpers import Counter

SEEN = spaces.Box(-np.inf, np.inf, (1,), np.float32)


class PartedCounter(Counter):
    """A `Counter` that shows its number in every part of a Dict: plain, one-hot and as bits."""

    observation_space = spaces.Dict(
        {
            "number": SEEN,
            "others": spaces.Tuple([spaces.Discrete(512, start=-1), spaces.MultiBinary([3, 3])]),
        }
    )

    def observe(self):
        number = 10 * self.episode + self.t
        bits = number >> np.arange(9).reshape(3, 3) & 1
        return {
            "number": np.array([number], np.float32),
            "others": (np.int64(number - 1), bits.astype(np.int8)),
        }


class TupleCounter(PartedCounter):
    """The same as a Tuple."""

    observation_space = spaces.Tuple(list(PartedCounter.observation_space.values()))

    def observe(self):
        return tuple(super().observe().values())


class Identity(gymnasium.Env):
    """The best action is the observation; each of 16 steps pays 1 - the distance to it.

    act     the space of actions, from which the goal is drawn
    seen    the observation: "itself": the goal; "row": as Gymnasium flattens it; "parts": a Dict
            that contains a Tuple
    """

    def __init__(self, act, seen="row"):
        self.action_space = act
        self.seen = seen
        row = spaces.utils.flatten_space(act)
        self.observation_space = {
            "itself": act,
            "row": spaces.Box(-np.inf, np.inf, row.shape, np.float64),
            "parts": spaces.Dict(goal=spaces.Tuple([act, spaces.Discrete(2)]), idle=SEEN),
        }[seen]
        self.sent = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.action_space.seed(seed)
        self.t = 0
        return self._next(), {}

    def step(self, action):
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        distance = np.mean(np.abs(flatten(self.action_space, action) - self.row))
        self.t += 1
        return self._next(), 1 - float(distance), False, self.t == 16, {}

    def _next(self):
        self.goal = self.action_space.sample()
        self.row = flatten(self.action_space, self.goal).astype(np.float64)
        if self.seen == "itself":
            return self.goal
        parts = {"goal": (self.goal, np.int64(1)), "idle": np.zeros(1, np.float32)}
        return self.row if self.seen == "row" else parts
