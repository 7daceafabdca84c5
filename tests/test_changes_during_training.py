"""Callbacks and other threads that change a model during an iteration."""

from __future__ import annotations

from threading import Thread

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from helpers import Counter, counters, same_state, small_model
from tables import table

from fasttrpo import TRPO, Rollout
from fasttrpo.callbacks import BaseCallback
from fasttrpo.logs.logger import configure

MOMENTS = ["_on_rollout_start", "_on_step", "_on_rollout_end", "_on_record"]


def learn_and_call(model, moment, do, n=192, when=2):
    """Train, and call `do(model)` once, at `moment` in iteration `when`."""
    callback = BaseCallback()
    state = {"left": 1}

    def now(*_):
        if model.n_updates == when - 1 + (moment == "_on_record") and state["left"]:
            state["left"] = 0
            do(model)
        return True

    setattr(callback, moment, now)
    return model.learn(n, callback)


def rollout():
    rows = np.zeros((4, 1))
    return Rollout(
        np.zeros((4, 1, 4), np.float32), rows[:, :].astype(int), rows, rows, rows, np.zeros((1, 4))
    )


other = small_model(seed=9)
ENVIRONMENT_CALLS = {
    "set_env": lambda model: model.set_env(gymnasium.make("CartPole-v1")),
    "set_random_seed": lambda model: model.set_random_seed(7),
}
POLICY_CALLS = {
    "setting parameters": lambda model: model.set_parameters(other.get_parameters()),
    "setting param": lambda model: model.policy.load_state_dict(other.policy.state_dict()),
    "update": lambda model: model.update(rollout()),
}
FORBIDDEN = [
    *(
        (call, do, "_on_step", "a rollout")
        for call, do in (ENVIRONMENT_CALLS | POLICY_CALLS).items()
    ),
    *((call, do, "_on_rollout_end", "an update") for call, do in POLICY_CALLS.items()),
]
ALLOWED = [
    *(
        (do, moment)
        for do in ENVIRONMENT_CALLS.values()
        for moment in MOMENTS
        if moment != "_on_step"
    ),
    *(
        (do, moment)
        for do in POLICY_CALLS.values()
        for moment in ("_on_rollout_start", "_on_record")
    ),
]


@table(("call", "do", "moment", "stage"), FORBIDDEN)
def test_calls_that_would_corrupt_an_iteration_are_refused(call, do, moment, stage):
    model = small_model()
    message = f"^{call}.* during {stage}.*: call it in _on_rollout_start"
    with pytest.raises(RuntimeError, match=message):
        learn_and_call(model, moment, do)
    assert model.learn(64).n_updates == 2  # the model is unchanged and usable
    assert model.get_env().num_envs == 4


@table(("do", "moment"), ALLOWED)
def test_allowed_changes_take_effect_at_the_next_iteration(do, moment):
    """In the current iteration if its rollout has not started."""
    model = learn_and_call(small_model(), moment, do)
    twin = small_model()
    twin.learn(64)
    if moment == "_on_rollout_end" or moment == "_on_record":
        twin.learn(64, reset_num_timesteps=False)
    do(twin)
    if model.num_timesteps > twin.num_timesteps:
        left = model.num_timesteps - twin.num_timesteps
        twin.learn(left, reset_num_timesteps=False)
    assert same_state(model, twin)


def test_parameters_may_change_after_a_failed_rollout():
    model = small_model()
    with pytest.raises(OSError, match="no"):
        learn_and_call(model, "_on_step", lambda _: (_ for _ in ()).throw(OSError("no")))
    model.set_parameters(other.get_parameters())
    model.set_env("CartPole-v1")


def test_parameters_set_before_a_rollout_are_kept_if_the_callback_then_fails():
    model, given = small_model(), other.get_parameters()

    def change_and_fail(model):
        model.n_steps = 2 * model.n_steps
        model.set_parameters(given)
        raise KeyError("then")

    with pytest.raises(KeyError, match="then"):
        learn_and_call(model, "_on_rollout_start", change_and_fail)
    for name, array in model.get_parameters()["policy"].items():
        np.testing.assert_array_equal(array, given["policy"][name])


def test_calls_from_other_threads_are_refused():
    errors = []

    def set_in_thread(model):
        try:
            model.set_parameters(other.get_parameters())
        except RuntimeError as error:
            errors.append(str(error))

    def do(model):
        thread = Thread(target=set_in_thread, args=(model,))
        thread.start()
        thread.join()

    learn_and_call(small_model(), "_on_step", do)
    assert len(errors) == 1


# -- logs ------------------------------------------------------------------------------------------


@table("moment", MOMENTS)
def test_a_logger_set_during_training_stays_open(moment, tmp_path):
    """Only the logger that `learn` created is closed."""
    model = small_model(tensorboard_log=None, verbose=0)
    logger = configure(tmp_path, ["csv"])
    learn_and_call(model, moment, lambda model: model.set_logger(logger))
    model.learn(64)
    logger.record("more", 1)
    logger.dump(999)
    logger.close()
    steps = [line.count(",") for line in (tmp_path / "progress.csv").read_text().splitlines()]
    assert len(steps) >= 3


def test_values_go_to_the_logger_that_recorded_them(tmp_path):
    model = small_model()
    first, second = (configure(tmp_path / name, ["json"]) for name in "ab")
    model.set_logger(first)

    def do(model):
        model.logger.record("mine", 5)
        model.set_logger(second)

    learn_and_call(model, "_on_step", do)
    assert '"mine": 5' in (tmp_path / "a" / "progress.json").read_text()
    assert "mine" not in (tmp_path / "b" / "progress.json").read_text()


# -- one environment, two models -------------------------------------------------------------------


@pytest.mark.parametrize("env", [Counter, lambda: counters(AutoresetMode.SAME_STEP)])
def test_models_sharing_an_environment_do_not_continue_each_others_episodes(env):
    env = env()
    first, second = (small_model(env, n_steps=10) for _ in range(2))
    first.learn(10)
    assert first.is_amid_episodes
    second.learn(10)
    assert second.is_amid_episodes
    assert not first.is_amid_episodes
    first.learn(20, reset_num_timesteps=False)
    assert not second.is_amid_episodes


def test_another_model_may_not_train_in_the_environment_during_a_rollout():
    env = Counter()
    model = small_model(env)
    with pytest.raises(RuntimeError, match="environment during a rollout"):
        learn_and_call(model, "_on_step", lambda _: small_model(env).learn(16), n=64, when=1)


def test_loading_a_checkpoint_into_an_environment_in_use_is_an_error(tmp_path):
    model = small_model().learn(64)
    model.save(tmp_path / "model", checkpoint=True)
    env = model.get_env().vector_env

    def load(_):
        assert TRPO.load(tmp_path / "model", env).is_amid_episodes

    with pytest.raises(RuntimeError, match="during a rollout"):
        learn_and_call(model, "_on_step", load)
