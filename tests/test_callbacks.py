"""Callbacks: when they are called, with what, what they write, and how they stop a run."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from helpers import Counter, Pointer, insides, same_state, small_model
from recorders import Moments, Rows
from tables import table

from fasttrpo import TRPO
from fasttrpo.callbacks import (
    BaseCallback,
    CheckpointCallback,
    EvalCallback,
    EventCallback,
    EveryNTimesteps,
    ProgressBarCallback,
    StopTrainingOnMaxEpisodes,
)

EXPECTED = [
    "init",
    ("start", 0, 128),
    ("rollout", 0),
    ("end", 16, 64, 0),
    ("record", 64, 1),
    ("rollout", 16),
    ("end", 32, 128, 1),
    ("record", 128, 2),
    "over",
]


@pytest.mark.parametrize("kind", [Moments, Rows])
def test_methods_are_called_in_order(kind, model):
    callback = kind()
    model.learn(128, callback=callback)
    assert callback.seen == EXPECTED
    assert callback.training_env is model.get_env()
    assert callback.logger is model.logger
    assert (callback.n_calls, callback.num_timesteps) == (32, 128)


def test_n_calls_continues_in_the_next_run(model):
    callback = Moments()
    model.learn(64, callback=callback)
    model.learn(64, callback=callback, reset_num_timesteps=False)
    assert callback.seen[7:9] == [("start", 64, 128), ("rollout", 16)]
    assert callback.n_calls == 32


# -- functions, lists, other classes ---------------------------------------------------------------


def test_functions_of_a_record_and_of_locals_are_called(model):
    steps, records = [], []

    def as_in_stable_baselines3(locals_, globals_):
        steps.append(locals_["n_steps"])
        assert locals_["self"] is model
        assert "__name__" in globals_

    model.learn(64, callback=[records.append, as_in_stable_baselines3])
    assert steps == list(range(16))
    assert [record["iteration"] for record in records] == [1]
    model.learn(64, callback=lambda record, factor=2: records.append(factor))
    assert records[-1] == 2


def test_an_object_with_the_same_methods_is_a_callback(model):
    class Foreign:
        """Like Stable-Baselines3's callbacks, without `on_record`."""

        calls = 0

        def init_callback(self, model):
            self.model = model

        def on_training_start(self, locals_, globals_):
            pass

        def update_locals(self, locals_):
            self.rewards = locals_["rewards"]

        def on_step(self):
            self.calls += 1
            return self.calls < 20

        on_rollout_start = on_rollout_end = on_training_end = lambda self: None

    callback = Foreign()
    model.learn(1000, callback=callback)
    assert (callback.calls, model.num_timesteps, model.n_updates) == (20, 80, 1)


@table("wrong", [3, "name", BaseCallback, [3]])
def test_other_objects_are_not_callbacks(model, wrong):
    with pytest.raises(TypeError, match="callback must be a function, a BaseCallback or a list"):
        model.learn(64, callback=wrong)


# -- stopping --------------------------------------------------------------------------------------


class StopAt(BaseCallback):
    def __init__(self, n_calls):
        super().__init__()
        self.last = n_calls

    def _on_step(self):
        return self.n_calls < self.last


def test_stopping_during_a_rollout_drops_it(model):
    model.learn(64)
    twin = small_model().learn(64)
    model.learn(1000, callback=StopAt(24))
    assert (model.num_timesteps, model.n_updates, insides(model).agent.n_recorded) == (96, 2, 0)
    assert model.records[-1]["num_timesteps"] == 64
    twin.learn(64)
    assert same_state(model, twin)
    model.learn(64, reset_num_timesteps=False)
    assert (model.num_timesteps, model.n_updates) == (160, 3)


def test_the_other_callbacks_are_called_before_stopping(model):
    others = Rows()
    model.learn(1000, callback=[StopAt(5), others])
    assert len(others.rows) == 5
    assert others.seen[-1] == "over"


def test_on_record_stops_after_its_iteration(model):
    class Stop(BaseCallback):
        def _on_record(self, record):
            return record["iteration"] < 2

    model.learn(1000, callback=Stop())
    assert [record["ended"] for record in model.records] == ["", "callback"]
    assert model.num_timesteps == 128


@pytest.mark.parametrize("answer", [False, np.bool_(False)])
def test_false_stops_training(answer, model):
    class Step(BaseCallback):
        def _on_step(self):
            return answer

    for callback in (Step(), lambda locals_, globals_: answer, EveryNTimesteps(1, Step())):
        assert model.learn(1000, callback=callback).num_timesteps == 4
    assert model.learn(1000, callback=lambda record: answer).num_timesteps == 64


@table("answer", [None, True, np.bool_(True), 0, "", []])
def test_anything_but_false_continues(answer, model):
    assert model.learn(64, callback=lambda locals_, globals_: answer).num_timesteps == 64
    assert model.learn(64, callback=lambda record: answer).num_timesteps == 64


def test_the_callback_on_a_new_best_can_stop_training(model):
    class Return(BaseCallback):
        def __init__(self, answer):
            super().__init__()
            self.answer = answer

        def _on_step(self):
            return self.answer

    evaluate = EvalCallback(
        "CartPole-v1", Return(False), Return(None), n_eval_episodes=1, eval_freq=1, verbose=0
    )
    assert model.learn(1000, callback=evaluate).num_timesteps == 4


def test_max_seconds_ends_training(model):
    model.learn(10**9, max_seconds=1e-9)
    assert [record["ended"] for record in model.records] == ["max_seconds"]
    model.learn(64, max_seconds=3600)
    assert model.records[-1]["ended"] == ""
    for wrong in (0, -1.0, float("inf"), "1"):
        with pytest.raises(ValueError, match="max_seconds must be a number > 0"):
            model.learn(64, max_seconds=wrong)


def test_max_episodes_ends_training():
    env = SyncVectorEnv([lambda: Counter(5)] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    model = small_model(env, n_steps=16)
    callback = StopTrainingOnMaxEpisodes(max_episodes=7)
    model.learn(10**6, callback=callback)
    assert (callback.n_episodes, model.num_timesteps) == (14, 2 * 5 * 7)


@table("moment", ["_on_rollout_start", "_on_step", "_on_rollout_end", "_on_record"])
def test_exceptions_propagate_and_leave_the_model_usable(moment, model):
    def fail(*args):
        raise OSError("the wheel came off")

    model.learn(64)
    callback = BaseCallback()
    setattr(callback, moment, fail)
    episodes = str(insides(model).statistics.record())
    with pytest.raises(OSError, match="the wheel came off"):
        model.learn(128, callback=callback, progress_bar=True, reset_num_timesteps=False)
    learnt = 128 if moment == "_on_record" else 64
    assert (model.num_timesteps, insides(model).agent.n_recorded) == (learnt, 0)
    if moment != "_on_record":
        assert str(insides(model).statistics.record()) == episodes
    assert model.logger.print is print
    model.learn(64, reset_num_timesteps=False)
    assert model.num_timesteps == learnt + 64


# -- saving and counting ---------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("nested", [False, True])
def test_a_failed_run_is_saved(error, nested, tmp_path, model):
    def fail(record):
        if record["iteration"] == 3:
            raise error

    saving = CheckpointCallback(10**6, tmp_path / "kept")
    saving = EveryNTimesteps(10**6, saving) if nested else saving
    with pytest.raises(error) as failure:
        model.learn(640, callback=[saving, fail])
    (path,) = (tmp_path / "kept").iterdir()
    assert failure.value.__notes__ == [f"the model is saved as its last iteration left it: {path}"]
    assert path.name == "rl_model_192_steps.npz"
    assert same_state(TRPO.load(path), model)


def test_callbacks_without_a_model_do_not_hide_failures(tmp_path):
    """An earlier callback fails when it receives the model."""
    evaluate = EvalCallback("Pendulum-v1")  # another task
    for last in (CheckpointCallback(10, tmp_path), EveryNTimesteps(1, CheckpointCallback(10, "."))):
        with pytest.raises(ValueError, match="the model was made for"):
            small_model().learn(64, [evaluate, last])
        with pytest.raises(ValueError, match="the model was made for"):
            small_model().learn(64, [last, evaluate])


def test_a_failing_on_exception_hides_no_failure_and_stops_no_other(tmp_path, model):
    class Failing(BaseCallback):
        def _on_exception(self, error):
            raise OSError("no line")

    def fail(record):
        raise RuntimeError("first")

    saving = CheckpointCallback(10**6, tmp_path)
    with pytest.raises(RuntimeError, match="first") as failure:
        model.learn(640, callback=[Failing(), EventCallback(Failing()), saving, fail])
    *failed, kept = failure.value.__notes__
    assert failed == ["Failing.on_exception failed: OSError('no line')"] * 2
    assert kept.startswith("the model is saved")


def test_failures_reach_both_callbacks_of_an_evaluation(tmp_path, model):
    class AddNote(BaseCallback):
        def _on_exception(self, error):
            error.add_note("noted")

    def fail(record):
        raise RuntimeError("first")

    with pytest.raises(RuntimeError, match="first") as failure:
        model.learn(640, [EvalCallback("CartPole-v1", AddNote(), AddNote()), fail])
    assert failure.value.__notes__ == ["noted", "noted"]


def test_a_run_that_fails_in_its_first_iteration_saves_nothing(tmp_path):
    model = small_model(Pointer(fail_at=3, failure=ValueError("broken")))
    with pytest.raises(ValueError, match="broken"):
        model.learn(64, callback=CheckpointCallback(10**6, tmp_path / "kept"))
    assert not (tmp_path / "kept").exists()


def test_a_failure_to_save_does_not_hide_the_first_failure(tmp_path, model):
    (tmp_path / "file").write_text("")

    def fail(record):
        raise RuntimeError("first")

    with pytest.raises(RuntimeError, match="first") as failure:
        model.learn(640, callback=[CheckpointCallback(10**6, tmp_path / "file"), fail])
    assert "the model could not be saved: " in failure.value.__notes__[0]


def test_checkpoints_are_written_every_save_freq_calls(model, tmp_path):
    callback = CheckpointCallback(10, tmp_path / "new", "run", verbose=2)
    model.learn(128, callback=callback)
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["run_120_steps.npz", "run_40_steps.npz", "run_80_steps.npz"]
    loaded = TRPO.load(tmp_path / "new" / "run_40_steps", "CartPole-v1")
    assert loaded.num_timesteps == 40
    fresh = small_model()
    np.testing.assert_array_equal(loaded.theta, fresh.theta)
    assert loaded.learn(64).num_timesteps == 64


def test_every_n_timesteps_calls_its_callback(model):
    event = EventCallback()
    callback = EveryNTimesteps(n_steps=50, callback=event)
    model.learn(256, callback=callback)
    assert event.n_calls == 4  # at 52, 104, 156, 208
    assert callback.last_time_trigger == 208


def test_progress_bar_callback_shows_a_bar(model, capsys):
    model.learn(128, callback=ProgressBarCallback())
    assert "128/128" in capsys.readouterr().err
    assert model.logger.print is print


def test_the_bar_of_a_continued_run_counts_all_of_it(model, capsys):
    model.learn(128)
    model.learn(128, reset_num_timesteps=False, progress_bar=True)
    err = capsys.readouterr().err
    assert "128/256" in err
    assert "256/256" in err


@table(
    ("make", "message"),
    [
        (lambda: CheckpointCallback(0, "."), "save_freq must be an integer >= 1, got 0"),
        (lambda: EvalCallback(None, eval_freq=-1), "eval_freq must be an integer >= 0, got -1"),
        (lambda: EvalCallback(None, n_eval_episodes=0), "n_eval_episodes must be an integer >= 1"),
        (lambda: StopTrainingOnMaxEpisodes(0.5), "max_episodes must be an integer >= 1"),
        (lambda: EveryNTimesteps(0, BaseCallback()), "n_steps must be an integer >= 1"),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_frequencies_may_be_floats_with_integer_values(tmp_path):
    callbacks = [CheckpointCallback(1e1, tmp_path), EveryNTimesteps(2e1, BaseCallback())]
    small_model().learn(64, callbacks)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("moment", ["_on_rollout_start", "_on_step", "_on_rollout_end"])
def test_settings_changed_during_a_rollout_take_effect_at_the_next(moment, model):
    """At a rollout's start they take effect in that iteration."""

    def change():
        if model.n_updates == 1 and model.target_kl != 0.02:
            model.target_kl = 0.02
        return True

    callback = BaseCallback()
    setattr(callback, moment, change)
    model.learn(192, callback=callback)
    second = 0.02 if moment == "_on_rollout_start" else 0.01
    assert [record["target_kl"] for record in model.records] == [0.01, second, 0.02]
    twin = small_model().learn(64)
    twin.learn(64, reset_num_timesteps=False) if second == 0.01 else None
    twin.target_kl = 0.02
    twin.learn(192 - twin.num_timesteps, reset_num_timesteps=False)
    assert same_state(model, twin)


def test_callbacks_cannot_call_learn(model):
    with pytest.raises(RuntimeError, match="a callback cannot call learn"):
        model.learn(64, callback=lambda record: model.learn(64))
    assert model.learn(64).num_timesteps == 64
