"""What callbacks see of a rollout, and which rows of compiled environments they need."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from helpers import Counter, Pointer, counters, insides, replace_agent, same_state, small_model
from recorders import Moments, Rows
from tables import table
from vec_env import VecCartPole

from fasttrpo.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    ConvertCallback,
    EvalCallback,
    EventCallback,
    EveryNTimesteps,
    ProgressBarCallback,
    StopTrainingOnMaxEpisodes,
)
from fasttrpo.training.callback import EVERY_ROW, NEVER, rows_until_step


def test_callbacks_see_every_row():
    callback = Rows()
    model = small_model(counters(AutoresetMode.SAME_STEP), n_steps=6).learn(12, callback=callback)
    assert [row["n_calls"] for row in callback.rows] == [1, 2, 3, 4, 5, 6]
    assert [row["n_steps"] for row in callback.rows] == [0, 1, 2, 3, 4, 5]
    assert [row["obs"].tolist() for row in callback.rows][:3] == [
        [[0], [0]],
        [[1], [1]],
        [[2], [10]],
    ]
    assert [row["rewards"].tolist() for row in callback.rows][:3] == [[1, 1], [2, 2], [3, 1]]
    assert [row["dones"].tolist() for row in callback.rows][:2] == [[False, False], [False, True]]
    ended, going = callback.rows[1]["infos"][1], callback.rows[1]["infos"][0]
    assert (ended["episode"]["r"], ended["episode"]["l"]) == (3.0, 2)
    assert ended["terminal_observation"].tolist() == [2]
    assert ended["TimeLimit.truncated"] is True
    assert "episode" not in going
    assert callback.rows[2]["infos"][0]["TimeLimit.truncated"] is False
    assert model.num_timesteps == 12


def test_infos_are_split_by_environment():
    class Informing(Counter):
        def step(self, action):
            *answer, _ = super().step(action)
            return *answer, {"half": self.t / 2, "nested": {"t": self.t}} if self.t == 1 else {}

    callback = Rows()
    makers = [lambda: Informing(3), lambda: Informing(2)]
    env = SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
    small_model(env, n_steps=3).learn(6, callback=callback)
    first, second, third = (row["infos"] for row in callback.rows)
    assert first == [{"half": 0.5, "nested": {"t": 1}}] * 2
    assert second[0] == {}
    assert third[1]["half"] == 0.5


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_infos_of_a_last_step_are_not_those_of_the_reset(mode):
    """Where the next episode starts in the same step, Gymnasium's infos come from its reset."""

    class Informing(Counter):
        def reset(self, **keywords):
            return super().reset(**keywords)[0], {"t": -1}

        def step(self, action):
            *answer, _ = super().step(action)
            return *answer, {"t": self.t}

    callback = Rows()
    env = SyncVectorEnv([lambda: Informing(3), lambda: Informing(2)], autoreset_mode=mode)
    small_model(env, n_steps=3).learn(6, callback=callback)
    times = [[info["t"] for info in row["infos"]] for row in callback.rows[:3]]
    assert times == [[1, 1], [2, 2], [3, -1 if mode is AutoresetMode.NEXT_STEP else 1]]


def test_infos_of_a_vec_env_are_passed_on():
    callback = Rows()
    small_model(VecCartPole(2, limit=3), n_steps=4).learn(8, callback=callback)
    last = callback.rows[2]["infos"][0]
    assert (last["TimeLimit.truncated"], last["episode"]["l"]) == (True, 3)
    assert last["terminal_observation"].shape == (4,)


def test_callbacks_see_sampled_and_clipped_actions():
    class Actions(BaseCallback):
        def _on_step(self):
            drawn, sent = self.locals["actions"], self.locals["clipped_actions"]
            assert drawn.shape == sent.shape == (1, 2, 1)
            np.testing.assert_allclose(np.clip(drawn, -0.5, 0.5), sent, rtol=1e-6)
            widest.append(np.abs(drawn).max())
            return True

    widest = []
    policy = {"net_arch": [], "log_std_init": 2.0}
    small_model(Pointer(), policy_kwargs=policy).learn(16, callback=Actions())
    assert max(widest) > 1


# -- which rows are needed ------------------------------------------------------------------------


class Collected:
    """Counts how the model's rows are collected."""

    def __init__(self, model, monkeypatch):
        self.pieces, self.acts = [], 0
        agent, counted = insides(model).agent, self

        class Spy:
            def __getattr__(self, name):
                return getattr(agent, name)

            def __setattr__(self, name, value):
                setattr(agent, name, value)

            def act(self, *args):
                counted.acts += 1
                return agent.act(*args)

        if hasattr(agent, "collect"):

            def collect(self, envs, n_rows, single):
                counted.pieces.append(n_rows)
                return agent.collect(envs, n_rows, single)

            Spy.collect = collect
        replace_agent(model, Spy())


def compiled_model(**keywords):
    pytest.importorskip(
        "fasttrpo.core._envs", reason="this installation has no compiled environments"
    )
    model = small_model(n_steps=32, **keywords)
    if not hasattr(insides(model).agent, "collect"):
        pytest.skip("the portable twin steps row by row")
    return model


def test_rows_stay_in_c_if_no_callback_needs_them(monkeypatch, tmp_path):
    model = compiled_model()
    collected = Collected(model, monkeypatch)
    given = [
        Moments(),
        CheckpointCallback(10, tmp_path),
        EvalCallback("CartPole-v1", eval_freq=15, n_eval_episodes=1, verbose=0),
        EveryNTimesteps(4 * 28, Moments()),
        lambda record: None,
    ]
    model.learn(256, callback=given)
    assert collected.acts == 0
    ends = np.cumsum(collected.pieces)
    assert {10, 15, 20, 28, 30, 40, 45, 50, 56, 60} <= set(ends.tolist())
    assert ends[-1] == 64


def test_a_user_defined_step_sees_every_row_with_the_same_bits(monkeypatch, tmp_path):
    class Mine(EvalCallback):
        """Does not declare the rows that its own `_on_step` needs."""

        def _on_step(self):
            proceed = super()._on_step()
            calls.append((self.n_calls, self.locals["rewards"].shape))
            return proceed

    calls = []
    model, plain, cut = (compiled_model() for _ in range(3))
    collected = Collected(model, monkeypatch)
    model.learn(256, callback=Mine("CartPole-v1", eval_freq=30, n_eval_episodes=1, verbose=0))
    assert calls == [(i, (4,)) for i in range(1, 65)]
    assert collected.acts == 64
    plain.learn(256)
    cut.learn(256, callback=CheckpointCallback(7, tmp_path))
    for other in (model, cut):
        assert same_state(plain, other)


@table(
    ("callback", "rows"),
    [
        (BaseCallback(), NEVER),
        (Moments(), NEVER),
        (Rows(), EVERY_ROW),
        (EventCallback(), NEVER),
        (CheckpointCallback(7, "."), 7),
        (CallbackList([CheckpointCallback(7, "."), CheckpointCallback(5, ".")]), 5),
        (CallbackList([CheckpointCallback(7, "."), Rows()]), EVERY_ROW),
        (CallbackList([]), NEVER),
        (EvalCallback(None, eval_freq=0), NEVER),
        (StopTrainingOnMaxEpisodes(3), EVERY_ROW),
        (ConvertCallback(print), EVERY_ROW),
        (ProgressBarCallback(), NEVER),
        (object(), EVERY_ROW),
    ],
)
def test_the_rows_until_a_callback_needs_one(callback, rows):
    assert rows_until_step(callback) == rows


class EachStep:
    def _on_step(self):
        return True


class Mixed(EachStep, CheckpointCallback):
    """Its step is not the one that `CheckpointCallback` knows of."""


class Knowing(EachStep, CheckpointCallback):
    def rows_until_step(self):
        return 2


class Named(CheckpointCallback):
    """Changes nothing of a step."""

    def _on_training_end(self):
        pass


@table(("kind", "rows"), [(Mixed, EVERY_ROW), (Knowing, 2), (Named, 7)])
def test_how_many_rows_may_pass_is_inherited_with_the_step(kind, rows):
    assert rows_until_step(kind(7, ".")) == rows


def test_a_method_set_on_an_instance_counts_as_overridden():
    callback = CheckpointCallback(7, ".")
    callback.on_step = lambda: True
    assert rows_until_step(callback) == EVERY_ROW
