"""While C collects: errors of environments, Ctrl-C, other threads, callbacks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from helpers import CC, INCLUDE, build_library, insides

pytest.importorskip("fasttrpo.core._envs", reason="this installation has no compiled environments")

from fasttrpo import TRPO
from fasttrpo.core import backend
from fasttrpo.envs import CompiledVectorEnv
from fasttrpo.stream.stream import Pace

pytestmark = pytest.mark.skipif(
    backend.choose(None) != "compiled", reason="only the compiled core collects in C"
)
needs_compiler = pytest.mark.skipif(
    shutil.which(CC) is None or not INCLUDE.exists(), reason="no compiler, or no sources"
)


class Stepped(CompiledVectorEnv):
    """Stepped from Python, since a subclass may override `step`."""


# -- failures --------------------------------------------------------------------------------------

# Sleeps in each step. In step 50 of an episode, the observation exceeds float32's range.
SLOW = """
#include <time.h>
#include "trpo_env.h"
static int reset(const void *config, void *s, double *obs, trpo_env_random *random)
{
    *(int *)s = 0;
    obs[0] = obs[1] = trpo_env_uniform(random, -1, 1);
    return 0;
}
static int step(const void *config, void *s, const double *act, double *obs, double *rew,
                uint8_t *term, trpo_env_random *random)
{
    const struct timespec nap = {0, NAP * 1000000L};
    if (NAP > 0) nanosleep(&nap, 0);
    obs[0] = trpo_env_uniform(random, -1, 1);
    obs[1] = ++*(int *)s == 50 ? 1e300 : 0;
    *rew = act[0] * obs[0];
    *term = 0;
    return 0;
}
static const int CHOICES[] = {2};
static const trpo_env ENV = {
    TRPO_ENV_VERSION, sizeof(trpo_env), "Slow", sizeof(int), 2, 0, 0, 1, CHOICES, 0, 0, LIMIT, 1, 0,
    0, 0, reset, step, 0, 0,
};
const trpo_env *trpo_environment(void) { return &ENV; }
"""


@pytest.fixture
def slow(tmp_path):
    """A function that builds the library, of milliseconds per step and the step limit."""
    source = tmp_path / "slow.c"
    source.write_text(SLOW)

    def build(nap, limit):
        library = tmp_path / f"slow{nap}_{limit}.so"
        return build_library(source, library, f"-DNAP={nap}", f"-DLIMIT={limit}")

    return build


@needs_compiler
@pytest.mark.parametrize("kind", [CompiledVectorEnv, Stepped])
def test_an_observation_beyond_float32_is_an_error_and_changes_nothing(kind, slow):
    model = TRPO("MlpPolicy", kind(slow(0, 0), 2), n_steps=30, seed=0).learn(60)
    before = model.snapshot().state
    words = "next observation of environment 0 is not finite.*component 1.* at step 19"
    with pytest.raises(ValueError, match=words):
        model.learn(60, reset_num_timesteps=False)
    after = model.snapshot().state
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert insides(model).agent.n_recorded == 0
    model.learn(60)


def test_an_environment_that_is_not_reset_is_named():
    env = CompiledVectorEnv("CartPole-v1", 2)
    model = TRPO("MlpPolicy", env, n_steps=8).learn(16)
    env.envs_in_c.close()
    with pytest.raises(RuntimeError, match=r"environment 0: .*reset first") as error:
        model.learn(16, reset_num_timesteps=False)
    assert error.value.__notes__ == ["raised by the environment's step at step 0"]
    model.learn(16)


def test_collect_refuses_environments_of_other_sizes():
    agent = insides(TRPO("MlpPolicy", "CartPole-v1", n_steps=8, n_envs=2)).agent
    other = CompiledVectorEnv("CartPole-v1", 3)
    other.reset()
    with pytest.raises(ValueError, match="agent's sizes"):
        agent.collect(other.capsule, 8, True)
    with pytest.raises(ValueError, match="PyCapsule"):
        agent.collect(None, 8, True)
    assert agent.n_recorded == 0


def test_a_closed_environment_is_refused():
    model = TRPO("MlpPolicy", CompiledVectorEnv("CartPole-v1", 2), n_steps=8).learn(16)
    model.get_env().close()
    with pytest.raises(Exception, match="has been closed"):
        model.learn(16, reset_num_timesteps=False)


# -- taking turns ----------------------------------------------------------------------------------


def test_pieces_take_about_fifty_milliseconds():
    pace = Pace()
    taken = []
    for _ in range(8):
        taken.append(pace.rows)
        pace.adapt(pace.rows, pace.rows * 1e-5)
    assert taken == [1, 8, 64, 512, 4096, 5000, 5000, 5000]
    pace.adapt(5000, 5.0)  # the machine got slower
    assert pace.rows == 50
    pace.adapt(1, 1.0)
    assert pace.rows == 1
    pace.adapt(1, 0.0)  # a coarse clock
    assert pace.rows == 8


@needs_compiler
def test_other_threads_run_during_collection(slow):
    """With an environment whose steps are long."""
    model = TRPO("MlpPolicy", slow(5, 9), n_envs=2, n_steps=40)
    turns, over = [], threading.Event()

    def count():
        while not over.wait(0.001):
            turns.append(time.perf_counter())

    other = threading.Thread(target=count)
    other.start()
    model.learn(80)
    over.set()
    other.join()
    assert len(turns) > 20
    assert max(np.diff(turns)) < 0.2


@needs_compiler
def test_environments_in_use_refuse_other_threads(slow):
    """Closing them during a step would crash. The calls fail and training continues."""
    env = CompiledVectorEnv(slow(200, 9), 2)
    model = TRPO("MlpPolicy", env, n_steps=2)
    calls = {
        "step": lambda: env.step(env.action_space.sample()),
        "reset": lambda: env.reset(seed=1),
        "close": env.close,
    }
    errors = {}

    def interfere():
        time.sleep(0.1)
        for name, call in calls.items():
            try:
                call()
            except RuntimeError as error:
                errors[name] = str(error)

    other = threading.Thread(target=interfere)
    other.start()
    model.learn(4)
    other.join()
    assert errors.keys() == calls.keys()
    assert all("another thread is using these environments" in each for each in errors.values())
    assert not env.closed
    env.step(env.action_space.sample())
    env.close()


@needs_compiler
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_process_forked_during_a_step_can_use_them(slow):
    env = CompiledVectorEnv(slow(200, 9), 2)
    env.reset()
    other = threading.Thread(target=env.envs_in_c.steps, args=(np.zeros((2, 2, 1)), 1))
    other.start()
    time.sleep(0.1)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            env.reset()
            status = 0
        finally:
            os._exit(status)
    with pytest.raises(RuntimeError, match="another thread"):
        env.reset()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    other.join()


INTERRUPTED = """
import signal, sys
import numpy as np
from fasttrpo import TRPO
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
model = TRPO("MlpPolicy", sys.argv[1], n_envs=2, n_steps=5000, n_threads=2)
before = model.snapshot().state
try:
    print("learning", flush=True)
    model.learn(10_000)
except KeyboardInterrupt:
    print("interrupted", flush=True)
after = model.snapshot().state
assert all(np.array_equal(before[name], after[name]) for name in before)
assert not model.is_amid_episodes and model.num_timesteps == 0
model.predict(np.zeros(2))
print("usable", flush=True)
"""


@needs_compiler
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGINT to send")
def test_ctrl_c_is_prompt_and_leaves_the_model_unchanged(slow):
    """During a rollout that would take 25 seconds or more."""
    command = [sys.executable, "-c", INTERRUPTED, slow(5, 9)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "learning\n"
        time.sleep(1)
        sent = time.perf_counter()
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "interrupted\n"
        assert time.perf_counter() - sent < 5
        assert child.stdout.readline() == "usable\n"
        assert child.wait() == 0


def test_callbacks_and_the_progress_bar_work(capsys):
    env = CompiledVectorEnv("CartPole-v1", 4)
    model, steps = TRPO("MlpPolicy", env, n_steps=16), []

    def callback(record):
        steps.append(record["num_timesteps"])
        return len(steps) < 3

    model.learn(10_000, callback=callback, progress_bar=True)
    assert steps == [64, 128, 192]
    assert "steps/s" in capsys.readouterr().err
