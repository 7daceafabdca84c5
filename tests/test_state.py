"""An agent's state determines all that it does next."""

from __future__ import annotations

import copy
import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from agents import (
    Implementation,
    O,
    World,
    bits,
    collect,
    needs_extension,
    rollout_settings,
    settings,
    shaken,
)
from tables import table

from fasttrpo.settings.critics import CRITICS

NAMES = [
    "theta",
    "value_theta",
    "obs_count",
    "obs_mean",
    "obs_m2",
    "rew_count",
    "rew_mean",
    "rew_m2",
    "rew_running",
    "adam_m",
    "adam_v",
    "counters",
    "damping_scale",
]
EVERYTHING = dict(normalize_observations=True, normalize_rewards=True, n_critic_updates=2)
DTYPES = ("float32", "float64")


def learn(agent, world, updates):
    """The records of some updates, without their timings."""
    records = []
    for _ in range(updates):
        collect(agent, world, 24)
        records.append(agent.update() | {"seconds": None})
    return records


@table("dtype", DTYPES)
@table("critic", CRITICS)
def test_a_restored_agent_continues_bit_for_bit(implementation, dtype, critic):
    s = rollout_settings(critic=critic, batch_size=32, **EVERYTHING)
    agent, world = implementation.agent(s, dtype), World(5, gaps=True)
    learn(agent, world, 2)
    agent.predict(np.ones((2, O)), False)
    saved, same_world = agent.state(), copy.deepcopy(world)
    other = implementation.agent(replace(s, seed=99), dtype)
    other.act(np.ones((5, O)))
    other.load_state(saved)
    assert bits(other) == bits(agent)
    assert other.n_recorded == 0
    assert learn(other, same_world, 2) == learn(agent, world, 2)
    assert bits(other) == bits(agent)


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_seeds_give_equal_bits(implementation, dtype):
    one, two = (implementation.agent(rollout_settings(**EVERYTHING), dtype) for _ in range(2))
    assert learn(one, World(5), 3) == learn(two, World(5), 3)
    assert bits(one) == bits(two)
    other = implementation.agent(replace(rollout_settings(**EVERYTHING), seed=8), dtype)
    assert not np.array_equal(other.theta, implementation.agent(rollout_settings()).theta)
    assert not np.array_equal(other.act(np.ones((5, O)))[0], one.act(np.ones((5, O)))[0])


def digest(name):
    """A hash of all records and states after three updates in both precisions."""
    total = hashlib.sha256()
    for dtype in DTYPES:
        agent = Implementation(name).agent(rollout_settings(**EVERYTHING), dtype)
        total.update(repr(learn(agent, World(5, gaps=True), 3)).encode())
        total.update(b"".join(bits(agent).values()))
    return total.hexdigest()


def test_another_process_gives_the_same_bits(implementation):
    here = str(Path(__file__).parent)
    code = (
        f"import sys; sys.path.insert(0, {here!r}); import test_state\n"
        f"print(test_state.digest({implementation.name!r}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == digest(implementation.name)


def test_discard_restores_the_state(implementation):
    """As if the rollout had not happened, random numbers included."""
    agent = shaken(implementation, rollout_settings(**EVERYTHING))
    before = bits(agent)
    collect(agent, World(5), 3)
    agent.discard()
    assert agent.n_recorded == 0
    assert bits(agent) == before


def test_restart_forgets_running_returns(implementation):
    agent = shaken(implementation, rollout_settings(normalize_rewards=True, gamma=1.0))
    no = np.zeros(5, bool)
    for _ in range(3):
        agent.act(np.ones((5, O)))
        agent.push(np.ones(5), no, no, np.ones((5, O)))
    agent.update()
    assert (agent.state()["rew_running"] == 3.0).all()
    before = bits(agent)
    agent.restart()
    assert (agent.state()["rew_running"] == 0.0).all()
    assert {k: v for k, v in bits(agent).items() if v != before[k]}.keys() == {"rew_running"}


def test_the_state_is_a_dict_of_float64_copies_in_order(implementation):
    agent = implementation.agent(settings())
    state = agent.state()
    assert list(state) == NAMES
    for name, vector in state.items():
        assert (vector.dtype, vector.ndim) == (np.float64, 1), name
        vector[:] = 77
    assert not (np.concatenate(list(agent.state().values())) == 77).any()


BAD = [
    (lambda s: s | {"theta": s["theta"] * np.nan}, "theta is not finite (nan in component 0)"),
    (lambda s: s | {"adam_m": np.zeros(3)}, "adam_m has shape (3,), not (35,)"),
    (lambda s: s | {"extra": np.zeros(3)}, "the state has an unknown 'extra'"),
    (lambda s: {k: v for k, v in s.items() if k != "obs_m2"}, "the state lacks 'obs_m2'"),
    (
        lambda s: s | {"counters": s["counters"] - 0.5},
        "counters are not integers in their ranges",
    ),
    (
        lambda s: s | {"counters": s["counters"] - 99},
        "counters are not integers in their ranges",
    ),
    (
        lambda s: s | {"counters": s["counters"] + 2.0**32},
        "counters are not integers in their ranges",
    ),
]


@table(("break_it", "message"), BAD, ids=[message for _, message in BAD])
def test_an_invalid_state_is_rejected_and_changes_nothing(implementation, break_it, message):
    agent = shaken(implementation, settings(n_envs=5))
    agent.act(np.ones((5, O)))
    agent.push(np.zeros(5), *np.zeros((2, 5), bool), np.ones((5, O)))
    before = bits(agent)
    good = {name: vector + 1 for name, vector in agent.state().items()}
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole message is compared below
        agent.load_state(break_it(good))
    assert str(raised.value) == message
    assert bits(agent) == before
    assert agent.n_recorded == 1


# -- the serialised state of the compiled core ----------------------------------------------------


@pytest.fixture
def compiled():
    agent = shaken(Implementation("compiled"), rollout_settings(critic="adam", **EVERYTHING))
    learn(agent, World(5), 1)
    return agent


@needs_extension
def test_bytes_round_trip(compiled):
    other = Implementation("compiled").agent(compiled.settings)
    other.load_bytes(compiled.save_bytes())
    assert bits(other) == bits(compiled)
    single = Implementation("compiled").agent(compiled.settings, "float32")
    single.load_bytes(compiled.save_bytes())
    assert bits(single) == bits(compiled)


@needs_extension
def test_damaged_bytes_are_rejected(compiled):
    saved = compiled.save_bytes()
    other = Implementation("compiled").agent(replace(compiled.settings, seed=3))
    before = bits(other)
    middle = len(saved) // 2
    flipped = saved[:middle] + bytes([saved[middle] ^ 1]) + saved[middle + 1 :]
    for damaged in (b"", saved[:-1], saved + b"\0", flipped, b"x" + saved[1:], bytes(len(saved))):
        with pytest.raises(
            ValueError,
            match=r"the saved bytes are truncated, damaged|the bytes are not a saved model",
        ):
            other.load_bytes(damaged)
        assert bits(other) == before


@needs_extension
@table(
    "other",
    [
        dict(hidden=(5,)),
        dict(value_hidden=(3, 4)),
        dict(activation="relu"),
        dict(critic="ridge"),
        dict(distribution=("categorical", (2,))),
        dict(normalize_rewards=False),
    ],
    ids=str,
)
def test_bytes_of_another_model_are_rejected(compiled, other):
    s = rollout_settings(**(dict(critic="adam") | EVERYTHING | other))
    with pytest.raises(ValueError, match="another model"):
        Implementation("compiled").agent(s).load_bytes(compiled.save_bytes())
