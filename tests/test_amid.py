"""What callbacks and other threads do to a model that is in the midst of an iteration."""

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


def learning(model, moment, do, n=192, when=2):
    """Learns, and does `do` at that moment in the second iteration."""
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
OF_ENVIRONMENT = {
    "set_env": lambda model: model.set_env(gymnasium.make("CartPole-v1")),
    "set_random_seed": lambda model: model.set_random_seed(7),
}
OF_POLICY = {
    "setting parameters": lambda model: model.set_parameters(other.get_parameters()),
    "setting param": lambda model: model.policy.load_state_dict(other.policy.state_dict()),
    "update": lambda model: model.update(rollout()),
}
REFUSED = [
    *((call, do, "_on_step", "a rollout") for call, do in (OF_ENVIRONMENT | OF_POLICY).items()),
    *((call, do, "_on_rollout_end", "an update") for call, do in OF_POLICY.items()),
]
TAKEN = [
    *((do, moment) for do in OF_ENVIRONMENT.values() for moment in MOMENTS if moment != "_on_step"),
    *((do, moment) for do in OF_POLICY.values() for moment in ("_on_rollout_start", "_on_record")),
]


@table(("call", "do", "moment", "stage"), REFUSED)
def test_what_makes_no_sense_in_the_midst_is_refused(call, do, moment, stage):
    model = small_model()
    message = f"^{call}.* during {stage}.*: call it in _on_rollout_start"
    with pytest.raises(RuntimeError, match=message):
        learning(model, moment, do)
    assert model.learn(64).n_updates == 2  # it goes on with what it was
    assert model.get_env().num_envs == 4


@table(("do", "moment"), TAKEN)
def test_what_is_taken_counts_from_the_next_iteration_on(do, moment):
    """From this one on, where its rollout has not begun."""
    model = learning(small_model(), moment, do)
    twin = small_model()
    twin.learn(64)
    if moment == "_on_rollout_end" or moment == "_on_record":
        twin.learn(64, reset_num_timesteps=False)
    do(twin)
    if model.num_timesteps > twin.num_timesteps:
        left = model.num_timesteps - twin.num_timesteps
        twin.learn(left, reset_num_timesteps=False)
    assert same_state(model, twin)


def test_parameters_may_change_after_a_rollout_that_failed():
    model = small_model()
    with pytest.raises(OSError, match="no"):
        learning(model, "_on_step", lambda _: (_ for _ in ()).throw(OSError("no")))
    model.set_parameters(other.get_parameters())
    model.set_env("CartPole-v1")


def test_parameters_set_before_a_rollout_stay_where_the_callback_then_fails():
    model, given = small_model(), other.get_parameters()

    def change_and_fail(model):
        model.n_steps = 2 * model.n_steps
        model.set_parameters(given)
        raise KeyError("then")

    with pytest.raises(KeyError, match="then"):
        learning(model, "_on_rollout_start", change_and_fail)
    for name, array in model.get_parameters()["policy"].items():
        np.testing.assert_array_equal(array, given["policy"][name])


def test_other_threads_are_refused_too():
    told = []

    def elsewhere(model):
        try:
            model.set_parameters(other.get_parameters())
        except RuntimeError as error:
            told.append(str(error))

    def do(model):
        thread = Thread(target=elsewhere, args=(model,))
        thread.start()
        thread.join()

    learning(small_model(), "_on_step", do)
    assert len(told) == 1


# -- logs -----------------------------------------------------------------------------------------


@table("moment", MOMENTS)
def test_a_logger_set_in_the_midst_stays_open(moment, tmp_path):
    """The one that `learn` made is closed in its stead."""
    model = small_model(tensorboard_log=None, verbose=0)
    logger = configure(tmp_path, ["csv"])
    learning(model, moment, lambda model: model.set_logger(logger))
    model.learn(64)
    logger.record("more", 1)
    logger.dump(999)
    logger.close()
    steps = [line.count(",") for line in (tmp_path / "progress.csv").read_text().splitlines()]
    assert len(steps) >= 3


def test_what_was_recorded_before_is_written_where_it_was(tmp_path):
    model = small_model()
    first, second = (configure(tmp_path / name, ["json"]) for name in "ab")
    model.set_logger(first)

    def do(model):
        model.logger.record("mine", 5)
        model.set_logger(second)

    learning(model, "_on_step", do)
    assert '"mine": 5' in (tmp_path / "a" / "progress.json").read_text()
    assert "mine" not in (tmp_path / "b" / "progress.json").read_text()


# -- one environment, two models ------------------------------------------------------------------


@pytest.mark.parametrize("env", [Counter, lambda: counters(AutoresetMode.SAME_STEP)])
def test_models_that_share_an_environment_do_not_go_on_in_each_others_episodes(env):
    env = env()
    first, second = (small_model(env, n_steps=10) for _ in range(2))
    first.learn(10)
    assert first.is_amid_episodes
    second.learn(10)
    assert second.is_amid_episodes
    assert not first.is_amid_episodes
    first.learn(20, reset_num_timesteps=False)
    assert not second.is_amid_episodes


def test_another_model_may_not_learn_in_it_in_the_midst():
    env = Counter()
    model = small_model(env)
    with pytest.raises(RuntimeError, match=r"another model reset, .* during a rollout"):
        learning(model, "_on_step", lambda _: small_model(env).learn(16), n=64, when=1)


def test_loading_a_checkpoint_into_the_environment_is_noticed(tmp_path):
    model = small_model().learn(64)
    model.save(tmp_path / "model", checkpoint=True)
    env = model.get_env().vector_env

    def load(_):
        assert TRPO.load(tmp_path / "model", env).is_amid_episodes

    with pytest.raises(RuntimeError, match="during a rollout"):
        learning(model, "_on_step", load)
