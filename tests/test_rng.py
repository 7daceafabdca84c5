"""Random numbers: the published generator, and counters that identify each number.

Actions, minibatches and preconditioner rows are tested where they are used, against reference.py;
this file ties reference.py to the published vectors.
"""

from __future__ import annotations

import numpy as np
import pytest
import reference
from agents import O, settings, shaken
from tables import table
from tolerances import ROUNDING, assert_close

from fasttrpo.portable import rng

ONES = 0xFFFFFFFF
KNOWN = [  # the vectors published with Random123, philox4x32-10
    ([0] * 6, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ([ONES] * 6, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0],
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


@pytest.mark.parametrize(("counter_and_key", "answer"), KNOWN)
def test_the_generator_gives_the_published_numbers(counter_and_key, answer):
    """The reference and the portable generator; the compiled one is compared with these."""
    lanes = rng.philox(np.arange(4, dtype=np.uint64), *np.array(counter_and_key, np.uint64))
    assert [f"{int(lane):08x}" for lane in lanes] == answer.split()
    expected = reference.philox(counter_and_key[:4], counter_and_key[4:])
    assert [f"{word:08x}" for word in expected] == answer.split()


def test_words_normals_and_permutations_follow_their_counters():
    stream = rng.Stream(seed=(9 << 32) + 4, purpose=3, count=(2 << 32) + 11)
    items = [0, 5, 1000]
    words, normals = rng.words(stream, items, 6), rng.normals(stream, items, 5)
    for row, item in enumerate(items):
        assert words[row].tolist() == [reference.word(stream, item, i) for i in range(6)]
    assert_close(normals, reference.normals(stream, items, 5), ROUNDING)
    assert rng.permute(stream, 50, 20).tolist() == reference.permutation(stream, 50, 20)
    assert sorted(rng.permute(stream, 50, 50)) == list(range(50))


@table("seed", [0, 1, 2**32 - 1, 2**32, 2**64 - 1])
@table("count", [0, 2**32 + 3])
def test_actions_depend_on_every_word_of_seed_and_count(implementation, seed, count):
    s = settings((), ("gaussian", (1,) * 7), seed=seed, n_envs=3)
    agent, obs = implementation.agent(s), np.zeros((3, O))
    state = agent.state()
    assert (state["counters"][0] + 2**32 * int(state["counters"][1])) == seed
    state["counters"][2:4] = count
    state["theta"][:] = 0
    agent.load_state(state)
    for purpose, act in ((1, agent.act(obs)[0]), (2, agent.predict(obs, False))):
        assert_close(act, reference.normals((seed, purpose, count), range(3), 7), ROUNDING)
    assert agent.state()["counters"][2:4].tolist() == [count + 1, count + 1]


def test_actions_of_an_environment_do_not_depend_on_the_others(implementation):
    few, many = (implementation.agent(settings(n_envs=n)) for n in (2, 70))
    obs = np.random.default_rng(0).normal(size=(70, O))
    assert np.array_equal(few.act(obs[:2])[0], many.act(obs)[0][:2])


def test_predict_does_not_change_training(implementation):
    one, two = (shaken(implementation, settings()) for _ in range(2))
    obs = np.ones((1, O))
    draws = [two.predict(obs, False) for _ in range(2)]
    two.predict(obs, True)
    two.value(obs)
    assert not np.array_equal(*draws)
    assert np.array_equal(one.act(obs)[0], two.act(obs)[0])
    assert two.state()["counters"][2:].tolist() == [1, 2, 0, 0, 0]


def test_recording_consumes_no_random_numbers(implementation):
    agent, obs = implementation.agent(settings()), np.ones((1, O))
    agent.record(obs, np.zeros((1, 2)))
    agent.push(np.zeros(1), *np.zeros((2, 1), bool), obs)
    assert not agent.state()["counters"][2:].any()
    fresh = implementation.agent(settings())
    assert np.array_equal(agent.act(obs)[0], fresh.act(obs)[0])
