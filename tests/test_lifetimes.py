"""A model is freed with its last reference, without the garbage collector."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import tracemalloc
import weakref

import gymnasium
import numpy as np
import pytest
from agents import needs_extension
from helpers import Counter, insides, small_model
from tables import table
from vec_env import VecCartPole

from fasttrpo import TRPO, evaluate_policy
from fasttrpo.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
    StopTrainingOnNoModelImprovement,
    StopTrainingOnRewardThreshold,
)
from fasttrpo.logs.logger import configure


@pytest.fixture(autouse=True)
def _no_collector():
    gc.disable()
    yield
    gc.enable()


def assert_freed(make, *arguments):
    """Nothing but the caller refers to the model that `make` returns."""
    model = make(*arguments)
    held = weakref.ref(model), weakref.ref(insides(model).agent)
    del model
    assert [ref() for ref in held] == [None, None]


class Failing(Counter):
    """Its steps raise after the first twenty."""

    def __init__(self):
        super().__init__()
        self.n_steps = 0

    def step(self, action):
        self.n_steps += 1
        if self.n_steps > 20:
            raise RuntimeError("broken")
        return super().step(action)


def trained(env="CartPole-v1", callback=None, **keywords):
    return small_model(env, **keywords).learn(128, callback)


def failed(env, callback=None, error=Exception):
    model = small_model(env)
    with pytest.raises(error):
        model.learn(128, callback)
    return model


ENVIRONMENTS = {
    "native or Gymnasium's": lambda: "CartPole-v1",
    "one": Counter,
    "vector": lambda: gymnasium.make_vec("CartPole-v1", num_envs=2),
    "VecEnv": lambda: VecCartPole(2),
}


@table("make", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_freed_after_learning(make):
    assert_freed(trained, make())


def test_freed_after_learning_on_the_portable_backend():
    assert_freed(lambda: trained(backend="portable", env_backend="gymnasium"))


def test_freed_after_learning_in_subprocesses():
    env = gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="async")
    assert_freed(trained, env)
    env.close()


@needs_extension
@pytest.mark.parametrize("compiled", [True, False])
def test_freed_after_learning_in_python_environments(compiled):
    if compiled:
        pytest.importorskip("numba")
    from python_envs import cart

    assert_freed(trained, cart.make_vec(2, compiled=compiled))


@needs_extension
def test_freed_after_a_python_environment_failed():
    from python_envs import cart

    def raising(state, action):
        raise ValueError("broken")

    broken = copy.copy(cart)
    broken.functions = {**cart.functions, "step": raising}
    broken.parameters = {**cart.parameters, "step": ("state", "action")}
    assert_freed(failed, broken.make_vec(2, compiled=False))


def test_freed_after_learning_in_mujoco():
    pytest.importorskip("mujoco.batch")
    assert_freed(trained, "Swimmer-v5")


def evaluating():
    stop = StopTrainingOnNoModelImprovement(100)
    new_best = CallbackList([StopTrainingOnRewardThreshold(1e9)])
    return EvalCallback("CartPole-v1", new_best, stop, 1, 8, verbose=0)


CALLBACKS = {
    "none": lambda: None,
    "a function of records": lambda: lambda record: None,
    "a function of locals": lambda: lambda locals_, globals_: None,
    "lists": lambda: [BaseCallback(), [BaseCallback()]],
    "evaluations": evaluating,
    "events": lambda: EveryNTimesteps(32, BaseCallback()),
    "stops": lambda: lambda locals_, globals_: False,
}


@table("make", CALLBACKS.values(), ids=CALLBACKS)
def test_freed_after_callbacks(make):
    assert_freed(lambda: trained(callback=make()))


def test_freed_after_checkpoints(tmp_path):
    assert_freed(lambda: trained(callback=CheckpointCallback(8, tmp_path)))


def test_freed_after_a_progress_bar():
    assert_freed(lambda: small_model().learn(64, progress_bar=True))


def test_freed_after_loggers(tmp_path):
    assert_freed(lambda: trained(verbose=1))

    def logged():
        model = small_model()
        model.set_logger(configure(tmp_path, ["stdout", "rows", "log", "csv", "json"]))
        return model.learn(64, lambda record: None)

    assert_freed(logged)


def raising(record):
    raise ValueError


def interrupted(locals_, globals_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("callback", [raising, interrupted])
def test_freed_after_a_callback_raised(callback):
    assert_freed(lambda: failed("CartPole-v1", [evaluating(), callback], BaseException))


def test_freed_after_an_environment_raised():
    assert_freed(lambda: failed(Failing()))


def test_freed_after_set_env():
    def changed():
        model = trained(env_backend="gymnasium")
        first = model.get_env()
        model.set_env("CartPole-v1")
        with pytest.raises(ValueError, match="the model was made for"):
            model.set_env("Pendulum-v1")
        model.learn(64)
        model.set_env(first)
        return model.learn(64)

    assert_freed(changed)


def test_freed_while_the_environment_is_in_use():
    model = trained()
    env = model.get_env()
    held = weakref.ref(model)
    del model
    assert held() is None
    env.reset()
    _, rewards, _, _ = env.step(np.zeros(4, int))
    assert rewards.tolist() == [1.0] * 4
    again = small_model(env)
    assert again.learn(64).num_timesteps == 64


def test_freed_after_evaluations():
    def evaluated():
        model = trained()
        evaluate_policy(model, "CartPole-v1", 2)
        evaluate_policy(model, model.get_env(), 2, callback=lambda locals_, globals_: None)
        return model

    assert_freed(evaluated)


def test_copies_and_their_originals_are_freed(tmp_path):
    file = io.BytesIO()

    def loaded():
        trained().save(file, checkpoint=True)
        file.seek(0)
        return TRPO.load(file, "CartPole-v1").learn(64)

    assert_freed(loaded)
    assert_freed(lambda: copy.deepcopy(trained()))
    assert_freed(lambda: pickle.loads(pickle.dumps(trained())))

    def original():
        model = trained()
        copy.copy(model).predict(np.zeros(4, np.float32))
        return model

    assert_freed(original)


def test_freed_after_changes_of_settings():
    def changed():
        model = trained()
        model.target_kl, model.n_steps = 0.02, 8
        model.set_random_seed(5)
        return model.learn(64)

    assert_freed(changed)


def test_of_models_in_a_loop_one_is_alive_at_a_time():
    alive, most = weakref.WeakSet(), 0
    for seed in range(14):
        model = small_model(seed=seed).learn(64)
        alive.add(insides(model).agent)
        most = max(most, len(alive))
        del model
    assert most == 1


class TheirCallback:
    """Like an SB3 callback: parent and child refer to each other."""

    def __init__(self, child=None):
        self.callbacks, self.parent = [child], None
        if child is not None:
            child.parent = self

    def init_callback(self, model):
        self.model = model

    def _nothing(self, *arguments):
        return True

    on_training_start = on_rollout_start = on_step = on_rollout_end = _nothing
    on_training_end = update_locals = _nothing


def test_freed_after_callbacks_of_another_library():
    child = TheirCallback()
    given = TheirCallback(TheirCallback(child))
    assert_freed(lambda: trained(callback=[TheirCallback(TheirCallback(TheirCallback()))]))
    small_model().learn(64, given)
    assert child.parent.callbacks == [child]


def test_copied_callbacks_have_their_own_parents():
    given = evaluating()
    for twin in (copy.deepcopy(given), pickle.loads(pickle.dumps(given))):
        small_model().learn(64, twin)
        assert twin.callback.parent is twin
        assert twin.callback_on_new_best.callbacks[0].parent is twin
    assert given.callback.parent is given


# -- growth ----------------------------------------------------------------------------------------


def test_max_records_bounds_the_records():
    model = small_model(max_records=3)
    records = model.records
    assert model.learn(5 * 64).records is records
    assert [record["iteration"] for record in records] == [3, 4, 5]
    assert [record["iteration"] for record in model.records[-2:]] == [4, 5]
    model.max_records = 2
    model.learn(64)
    assert [record["iteration"] for record in records] == [5, 6]
    model.max_records = None
    model.learn(2 * 64)
    assert [record["iteration"] for record in records] == [5, 6, 7, 8]
    assert small_model().max_records == 5000


def test_a_long_run_needs_no_more_memory(tmp_path):
    """60 iterations keep less than a third of the size of their records (1.5 kB each).

    Not zero, because NumPy caches the memory of small arrays.
    """
    model = small_model(Counter(), max_records=10, stats_window_size=10)
    model.set_logger(configure(tmp_path, ["rows", "log", "csv", "json"]))
    model.logger.print = lambda text: None
    evaluate = EvalCallback(Counter(), None, None, 1, 160, tmp_path, max_evaluations=5)
    callbacks = [evaluate, lambda record: model.logger.record("custom/x", 1.0)]
    model.learn(16 * 20, callbacks)
    tracemalloc.start()
    model.learn(16 * 20, callbacks)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    model.learn(16 * 60, callbacks)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 60 * 500
