"""Threads: how many there are, and that they can be seen in nothing but the time."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from agents import bits, loaded, needs_extension, settings
from helpers import insides, same_state, small_model
from tables import table

from fasttrpo import TRPO, cli
from fasttrpo.core import backend
from fasttrpo.core.backend import THREADS_VARIABLE, make_agent
from fasttrpo.settings.agent import AgentSettings
from fasttrpo.settings.critics import CRITICS

N = 10_000
MANY = (1, 2, 3, 4, 16)
TASKS = Path("/proc/self/task")

counts_tasks = pytest.mark.skipif(not TASKS.exists(), reason="no /proc to count threads in")


def big_agent(n_threads, dtype="float32", **more):
    """An agent with a batch of N rows in it: work for 32 threads."""
    s = AgentSettings(
        obs_size=5,
        distribution="gaussian",
        parts=(1, 1),
        policy_hidden=(16, 9),
        value_hidden=(8,),
        n_steps=N // 50,
        n_envs=50,
        n_threads=n_threads,
        **more,
    )
    agent, draw = make_agent(s, dtype=dtype), np.random.default_rng(0)
    obs, act = draw.normal(size=(N, 5)), draw.normal(size=(N, 2))
    agent.theory.load_batch(obs, act, draw.normal(size=N), draw.normal(size=N))
    return agent


def passes(agent):
    """What each pass over the batch gives, as one array."""
    v = np.random.default_rng(1).normal(size=len(agent.theta))
    x, _ = agent.theory.solve()
    trial = agent.theory.evaluate(agent.theta + 0.01 * v)
    return np.concatenate([agent.theory.gradient(), agent.theory.fisher_product(v), x, trial])


def learnt(n_threads, seed=0, **more):
    model = small_model(n_steps=300, n_threads=n_threads, seed=seed, **more)
    return model.learn(2400)


# -- bits -----------------------------------------------------------------------------------------


@needs_extension
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_passes_give_the_same_bits(dtype):
    alone = passes(big_agent(1, dtype)).tobytes()
    for n in MANY[1:]:
        assert passes(big_agent(n, dtype)).tobytes() == alone, n


@needs_extension
@table("critic", CRITICS)
def test_learning_gives_the_same_bits(critic):
    alone = learnt(1, critic=critic)
    for n in MANY[1:]:
        assert same_state(learnt(n, critic=critic), alone), n


@needs_extension
@pytest.mark.parametrize("features", ["fourier", "rbf", "polynomial"])
def test_features_give_the_same_bits(features):
    """In rollouts row by row, whose rows of one step are dealt out too."""
    more = {
        "policy": "LinearPolicy",
        "policy_kwargs": {"features": features},
        "normalize_observations": True,
        "env_backend": "gymnasium",
    }
    alone = learnt(1, **more)
    for n in MANY[1:]:
        assert same_state(learnt(n, **more), alone), n


# -- how many -------------------------------------------------------------------------------------


def threads_left():
    """How many there are, once those that were joined are gone: they are counted for a moment."""
    counts = [len(list(TASKS.iterdir()))]
    while len(counts) < 20 or (len(set(counts[-20:])) > 1 and len(counts) < 1000):
        time.sleep(0.001)
        counts.append(len(list(TASKS.iterdir())))
    return counts[-1]


@needs_extension
@counts_tasks
def test_threads_start_with_the_first_work_and_end_with_the_agent():
    before = threads_left()
    agent = make_agent(AgentSettings(3, "gaussian", (1,), n_steps=4096, n_threads=4))
    assert len(list(TASKS.iterdir())) == before
    agent.theory.load_batch(np.zeros((4096, 3)), np.zeros((4096, 1)), np.ones(4096))
    assert len(list(TASKS.iterdir())) == before + 3
    agent.theory.fisher_product(np.ones(len(agent.theta)))
    assert len(list(TASKS.iterdir())) == before + 3
    del agent
    assert threads_left() == before


@needs_extension
def test_no_more_threads_than_have_work(implementation):
    if implementation.name == "compiled":
        assert implementation.agent(settings(n_steps=64, n_threads=8)).n_threads == 1
        assert implementation.agent(settings(n_steps=150, n_threads=8)).n_threads == 3
        assert implementation.agent(settings(n_steps=2048, n_threads=99)).n_threads == 16
        assert implementation.agent(settings(n_steps=10**5, n_threads=100)).n_threads == 32


@needs_extension
def test_the_cores_are_the_default(monkeypatch):
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    assert 1 <= backend.cores() <= (os.cpu_count() or 1)
    assert backend.n_threads() == backend.cores()
    assert insides(small_model(n_steps=10**4)).agent.n_threads == backend.cores()


@needs_extension
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity to set")
def test_affinity_counts():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert backend.cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@needs_extension
def test_the_environment_says_how_many(monkeypatch, capsys):
    monkeypatch.setenv(THREADS_VARIABLE, "3")
    assert insides(small_model(n_steps=10**4)).agent.n_threads == 3
    assert insides(small_model(n_steps=10**4, n_threads=2)).agent.n_threads == 2
    assert cli.main(["info"]) == 0
    assert "threads:          3\n" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "1025", "\N{SUPERSCRIPT TWO}"])
def test_a_bad_number_in_the_environment_is_named(monkeypatch, text):
    monkeypatch.setenv(THREADS_VARIABLE, text)
    with pytest.raises(ValueError, match=f"{THREADS_VARIABLE} must be an integer from 1 to 1024"):
        small_model()
    small_model(n_threads=1)


@table("value", [0, -1, 1.5, "2", True, 1025])
def test_a_bad_setting_is_named(value):
    with pytest.raises(ValueError, match="n_threads must be an integer from 1 to 1024"):
        small_model(n_threads=value)


@needs_extension
def test_the_command_line_takes_a_number(capsys, tmp_path):
    given = ["train", "CartPole-v1", "--total-timesteps", "64", "--n-steps", "16", "--n-envs", "4"]
    assert cli.main([*given, "--n-threads", "2", "--out", str(tmp_path / "run")]) == 0
    assert TRPO.load(tmp_path / "run/model.npz").settings.n_threads == 2
    assert json.loads((tmp_path / "run/config.json").read_text())["system"]["threads"] == 2


# -- saved models ---------------------------------------------------------------------------------


@needs_extension
def test_a_saved_model_takes_the_machine_it_is_loaded_on(monkeypatch, tmp_path):
    monkeypatch.setenv(THREADS_VARIABLE, "2")
    small_model(n_steps=10**4).save(tmp_path / "default")
    small_model(n_steps=10**4, n_threads=3).save(tmp_path / "three")
    monkeypatch.setenv(THREADS_VARIABLE, "4")
    for name, overrides, n_threads in (
        ("default", {}, 4),
        ("three", {}, 3),
        ("three", {"n_threads": 2}, 2),
    ):
        model = TRPO.load(tmp_path / name, "CartPole-v1", **overrides).learn(1)
        assert insides(model).agent.n_threads == n_threads


# -- processes ------------------------------------------------------------------------------------


def put_product(queue, agent, v):
    queue.put(agent.theory.fisher_product(v).tobytes())


@needs_extension
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own():
    agent = big_agent(3)
    v = np.ones(len(agent.theta))
    expected = agent.theory.fisher_product(v).tobytes()
    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    child = fork.Process(target=put_product, args=(queue, agent, v))
    child.start()
    assert queue.get(timeout=60) == expected
    child.join(60)
    assert child.exitcode == 0
    assert agent.theory.fisher_product(v).tobytes() == expected


@needs_extension
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_forked_during_another_thread_s_update_finds_a_whole_agent():
    model = small_model(n_steps=300, n_envs=2, n_threads=2, policy_kwargs={"net_arch": [128, 128]})
    learner = threading.Thread(target=model.learn, args=(12_000,))
    learner.start()
    fork = multiprocessing.get_context("fork")
    while learner.is_alive():
        queue = fork.Queue()
        child = fork.Process(target=put_product_of_itself, args=(queue, insides(model).agent))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        assert queue.get(timeout=60)
    learner.join(60)


def put_product_of_itself(queue, agent):
    """Whether updates in the child begin where the parent's stood."""
    theta, rows = agent.theta, np.zeros((200, agent.settings.obs_size))
    agent.predict(rows, False)
    queue.put(bool(np.isfinite(theta).all()))


def product_in_a_new_process(queue):
    agent = big_agent(3)
    put_product(queue, agent, np.ones(len(agent.theta)))


@needs_extension
def test_a_spawned_child_gets_the_same(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parent), *sys.path])
    spawn = multiprocessing.get_context("spawn")
    queue = spawn.Queue()
    child = spawn.Process(target=product_in_a_new_process, args=(queue,))
    child.start()
    agent = big_agent(1)
    assert queue.get(timeout=60) == agent.theory.fisher_product(np.ones(len(agent.theta))).tobytes()
    child.join(60)


def test_the_portable_backend_takes_the_setting_and_runs_one(implementation):
    """And gives what it always gave."""
    one, _ = loaded(implementation, settings(n_threads=1))
    four, _ = loaded(implementation, settings(n_threads=4))
    assert bits(one) == bits(four)
    assert backend.describe("portable")["threads"] == 1


# -- Python's own threads -------------------------------------------------------------------------


class Pulse(threading.Thread):
    """Counts while it is let; by itself it lasts only as long as the test."""

    def __init__(self):
        super().__init__(daemon=True)
        self.beats, self.going = 0, True

    def run(self):
        while self.going:
            self.beats += 1
            time.sleep(0)


@pytest.fixture
def pulse():
    """Beats in the background, when whoever has the GIL lets go of it by itself."""
    interval, pulse = sys.getswitchinterval(), Pulse()
    sys.setswitchinterval(1000)
    pulse.start()
    yield pulse
    pulse.going = False
    sys.setswitchinterval(interval)
    pulse.join(60)


def beats_during(pulse, call):
    """Whether it beat while the call was under way; on a busy machine, while one of many was."""
    for _ in range(1000):
        before = pulse.beats
        call()
        if pulse.beats > before:
            return True
    return False


@needs_extension
@table(
    "name",
    ["predict", "value", "gradient", "fisher_product", "evaluate", "value_gradient", "load_batch"],
)
def test_what_is_long_lets_other_threads_run(name, pulse):
    agent, draw = big_agent(2), np.random.default_rng(2)
    obs, act = draw.normal(size=(N, 5)).astype(agent.real), np.ones((N, 2), agent.real)
    ones, theta = np.ones(N), agent.theta
    agent.theory.load_batch(obs, act, ones, ones)
    calls = {
        "predict": lambda: agent.predict(obs, True),
        "value": lambda: agent.value(obs),
        "gradient": agent.theory.gradient,
        "fisher_product": lambda: agent.theory.fisher_product(theta),
        "evaluate": lambda: agent.theory.evaluate(theta),
        "value_gradient": agent.theory.value_gradient,
        "load_batch": lambda: agent.theory.load_batch(obs, act, ones, ones),
    }
    assert beats_during(pulse, calls[name])


@needs_extension
def test_a_short_call_keeps_the_gil(pulse):
    agent = big_agent(2)
    one = np.zeros((1, 5), agent.real)
    before = pulse.beats
    for _ in range(1000):
        agent.predict(one, True)
    assert pulse.beats == before


@needs_extension
def test_threads_that_ask_one_agent_wait_for_each_other():
    """Some with rows enough to let go of the GIL, some with few, while a third one learns."""
    model = small_model(n_steps=300, n_threads=2, seed=1)
    agent, few, many = insides(model).agent, np.full((3, 4), 0.5), np.full((5000, 4), 0.5)
    wrong, going = [], True

    def ask(rows):
        while going:
            answer = agent.value(rows)
            if not (answer == answer[0]).all():
                wrong.append(answer)

    askers = [threading.Thread(target=ask, args=(rows,)) for rows in (few, many, many)]
    for asker in askers:
        asker.start()
    model.learn(2400)
    going = False
    for asker in askers:
        asker.join(60)
    assert not wrong
    assert same_state(model, learnt(1, seed=1))


def at_once(*calls):
    """Runs each in a thread of its own, 50 times."""
    threads = [threading.Thread(target=lambda c=call: [c() for _ in range(50)]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


@needs_extension
@table("name", ["fisher_product", "value_product", "precondition", "evaluate", "solve"])
def test_passes_of_two_threads_over_one_batch_do_not_mix(name):
    agent = big_agent(1)
    size = len(agent.value_theta if name == "value_product" else agent.theta)
    given = [() if name == "solve" else (np.full(size, 0.1 * i),) for i in (1, 2)]

    def answer(arguments):
        found = getattr(agent.theory, name)(*arguments)
        return np.array(found[0] if name == "solve" else found).tobytes()

    expected, wrong = [answer(each) for each in given], []

    def ask(i):
        if answer(given[i]) != expected[i]:
            wrong.append(i)

    at_once(lambda: ask(0), lambda: ask(1))
    assert not wrong


@needs_extension
def test_parameters_are_read_and_written_whole():
    agent, torn = big_agent(1), []
    one = np.ones(len(agent.theta))

    def write():
        agent.theta = one
        agent.theta = 2 * one

    def read():
        theta = agent.theta
        if not (theta == theta[0]).all():
            torn.append(theta)

    write()
    at_once(write, read, agent.theory.gradient)
    assert not torn
