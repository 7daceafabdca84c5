"""Rows of one environment that no callback looks at are collected in C, where nothing else differs:
parameters, episodes, what the environment gets, masks and errors.
"""

from __future__ import annotations

import threading

import gymnasium
import numpy as np
from gymnasium import spaces
from helpers import Pointer, insides, small_model
from pairs import pairwise
from tables import table

from fasttrpo.callbacks import BaseCallback
from fasttrpo.stream.in_turn import InTurn

OBSERVATIONS = {
    "vector": spaces.Box(-1, 1, (3,), np.float32),
    "doubles": spaces.Box(-1, 1, (2, 2), np.float64),
    "choice": spaces.Discrete(5, start=-2),
    "tuple": spaces.Tuple([spaces.Discrete(3), spaces.Discrete(4, start=1)]),
    "dict": spaces.Dict(a=spaces.Box(-1, 1, (2,), np.float64), b=spaces.Discrete(3)),
    "bits": spaces.MultiBinary(3),
    "nested": spaces.Dict(a=spaces.Tuple([spaces.Discrete(3)]), b=spaces.Discrete(3)),
}
ACTIONS = {
    "choice": spaces.Discrete(3, start=2),
    "clipped": spaces.Box(np.float32(-0.1), np.float32(0.2), (2, 1), np.float32),
    "doubles": spaces.Box(-0.1, 0.2, (2,), np.float64),
    "number": spaces.Box(-0.1, 0.2, (), np.float32),
    "several": spaces.MultiDiscrete([2, 3]),
    "bits": spaces.MultiBinary(2),
}
MASKS = [np.array([1, 0, 1], np.int8), np.array([False, True, True]), [1, 1, 0], np.ones(3)]


class EveryRow(BaseCallback):
    """Is called after every row, so that all rows are collected in Python."""

    def _on_step(self):
        return True


class Varied(gymnasium.Env):
    """Answers in all valid forms, most often the plain one; episodes have 1 to 8 steps.

    Step `fail_at` answers what `failure` makes of its answer.
    """

    def __init__(self, seen="vector", acts="choice", fail_at=None, failure=None):
        self.observation_space, self.action_space = OBSERVATIONS[seen], ACTIONS[acts]
        self.fail_at, self.failure = fail_at, failure
        self.has_masks = acts == "choice"
        self.sent, self.resets, self.memory = [], 0, np.zeros(3, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.resets += 1
        self.left = int(self.np_random.integers(1, 9))
        return self.observe(), self.info()

    def step(self, action):
        self.sent.append((type(action), np.asarray(action).dtype, np.array(action).tolist()))
        self.left -= 1
        is_over, is_task = self.left == 0, self.np_random.random() < 0.5
        flags = [is_over and is_task, is_over and not is_task]
        obs, info = self.observe(), self.info() if not is_over else self.last_info()
        if flags[0] and isinstance(obs, np.ndarray) and obs.dtype.kind == "f":
            obs = self.most_often(obs, None, np.full_like(obs, np.nan))
        flags = map(self.most_often(bool, np.bool_, int), flags)
        answer = self.most_often(tuple, list)([obs, self.reward(), *flags, info])
        return self.failure(answer) if len(self.sent) == self.fail_at else answer

    def most_often(self, plain, *others):
        return (
            plain if self.np_random.random() < 0.9 else others[self.np_random.integers(len(others))]
        )

    def observe(self):
        obs = self.observation_space.sample()
        if self.observation_space == OBSERVATIONS["vector"]:
            self.memory[:] = obs  # which the next step changes
            return self.most_often(self.memory, obs.tolist(), obs.astype(float), obs[::-1])
        return self.most_often(int(obs), obs) if isinstance(obs, np.integer) else obs

    def reward(self):
        number = float(self.np_random.normal())
        return self.most_often(float, np.float64, np.float32, round, np.atleast_1d)(number)

    def info(self):
        info = self.most_often({}, {"x": 1.5})
        if self.has_masks and self.np_random.random() < 0.5:
            info["action_mask"] = self.most_often(*MASKS)
        return info

    def last_info(self):
        report = {"episode": {"r": 2.5, "l": 7}}
        return self.most_often({}, {"x": 2}, report, {"is_success": True}, {"is_success": 0})


def outcome(env, callback, **keywords):
    """All that a run of three iterations leaves behind, and its error."""
    model = small_model(env, n_steps=64, seed=5, **keywords)
    try:
        model.learn(3 * 64, callback=callback)
        error = None
    except BaseException as raised:
        error = type(raised), str(raised), getattr(raised, "__notes__", [])
    run = insides(model)
    arrays = {**run.agent.state(), **run.statistics.state()}
    left = {name: array.tobytes() for name, array in arrays.items()}
    return error, env.sent, env.resets, repr(run.stream.obs), repr(run.stream.masks), left


@table(
    ("seen", "acts", "keywords"),
    [
        *pairwise(OBSERVATIONS, ACTIONS, [{}, {"dtype": "float64"}]),
        ("vector", "doubles", {"clip_actions": False}),
        ("dict", "clipped", {"scale_actions": True, "normalize_observations": True}),
    ],
)
def test_runs_are_the_same(seen, acts, keywords):
    watched = outcome(Varied(seen, acts), EveryRow(), **keywords)
    assert outcome(Varied(seen, acts), None, **keywords) == watched
    assert watched[0] is None


class Reusing(Varied):
    """Its reset, which is not plain, overwrites the observation and the info of the last step."""

    def reset(self, *, seed=None, options=None):
        self.resets, self.left, self.report = self.resets + 1, 3, getattr(self, "report", {})
        self.memory[:] = 9
        self.report["is_success"] = True
        return self.memory.tolist(), self.report

    def step(self, action):
        self.sent.append(action)
        self.left -= 1
        self.memory[:] = self.left
        self.report.clear()
        return self.memory, 1.0, False, self.left == 0, self.report


def test_reset_may_overwrite_what_step_returned():
    watched = outcome(Reusing(), EveryRow())
    assert outcome(Reusing(), None) == watched


class Tables(Varied):
    """Its step is machine code, which no other thread can interrupt."""

    def __init__(self):
        super().__init__()
        self.step = dict.fromkeys(range(2, 5), (self.memory, 1.0, False, False, {})).__getitem__


def test_other_threads_run_during_a_rollout():
    """An environment without Python code does not keep them waiting until the rollout is full."""
    model, lengths, is_over = small_model(Tables(), n_steps=50_000), set(), threading.Event()

    def look():
        while not is_over.is_set():
            lengths.add(insides(model).latest_statistics.longest)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        model.learn(50_000)
    finally:
        is_over.set()
        thread.join()
    assert len(lengths) > 3  # 0, and the last two


def test_plain_rows_never_reach_python(monkeypatch):
    """Only the row that the watch gets at the end of a rollout does."""
    advance, rows = InTurn.advance, []
    monkeypatch.setattr(InTurn, "advance", lambda *given: rows.append(0) or advance(*given))
    small_model(Pointer(), n_steps=64).learn(3 * 64)
    assert len(rows) == 3
    small_model(Pointer(), n_steps=64).learn(3 * 64, callback=EveryRow())
    assert len(rows) == 3 + 3 * 64


def fails(error):
    def failure(answer):
        raise error

    return failure


FAILURES = [
    fails(ZeroDivisionError("no simulator")),
    fails(KeyboardInterrupt()),
    lambda answer: answer[:4],
    lambda answer: (np.zeros(4), *answer[1:]),
    lambda answer: (np.full(3, np.nan, np.float32), *answer[1:2], False, False, {}),
    lambda answer: (answer[0], np.inf, *answer[2:]),
    lambda answer: (answer[0], 2**60 + 1, *answer[2:]),
    lambda answer: (answer[0], "much", *answer[2:]),
    lambda answer: (*answer[:2], 2, *answer[3:]),
    lambda answer: (*answer[:4], "info"),
    lambda answer: (*answer[:2], False, False, {"action_mask": np.zeros(3, np.int8)}),
    lambda answer: (*answer[:2], False, False, {"action_mask": np.ones(4, np.int8)}),
]


@table("failure", FAILURES)
def test_errors_are_the_same(failure):
    for fail_at in (20, 21, 64):
        watched = outcome(Varied(fail_at=fail_at, failure=failure), EveryRow())
        assert outcome(Varied(fail_at=fail_at, failure=failure), None) == watched
