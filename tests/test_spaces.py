"""Spaces: shapes and types in and out, and a named error for what is not supported."""

from __future__ import annotations

import json

import numpy as np
import pytest
from gymnasium import spaces

from fasttrpo.spaces import describe, from_json

OBS = spaces.Box(-1, 1, (2, 3), np.float32)
BOX = spaces.Box(np.float32([-1, -2]), np.float32([1, np.inf]))


def test_observations_are_flattened():
    observations, _ = describe(OBS, BOX)
    obs = np.arange(12.0).reshape(2, 2, 3)
    rows = observations.rows(obs, 2)
    np.testing.assert_array_equal(rows, np.arange(12.0).reshape(2, 6))
    assert observations.size == 6


def test_wrong_observations_are_refused():
    observations, _ = describe(OBS, BOX)
    with pytest.raises(ValueError, match=r"shape \(2, 3\), expected \(4, 2, 3\)"):
        observations.rows(np.zeros((2, 3)), 4)
    with pytest.raises(TypeError, match="observation must be an array of real numbers"):
        observations.rows(np.full((1, 2, 3), "x"), 1)


def test_box_actions_are_clipped_for_the_environment_only():
    _, actions = describe(OBS, BOX)
    act = np.array([[5.0, 5.0], [-5.0, -5.0]])
    sent = actions.to_env(act)
    np.testing.assert_array_equal(sent, [[1, 5], [-1, -2]])
    assert sent.dtype == np.float32
    np.testing.assert_array_equal(act, [[5, 5], [-5, -5]])
    assert (actions.distribution, actions.parts) == ("gaussian", (1, 1))


@pytest.mark.parametrize("wide", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_bounds_are_exact_in_the_space_s_type(dtype, wide):
    """0.1 has another value in each precision; actions come in the agent's."""
    space = spaces.Box(-0.1, 0.1, (3,), dtype)
    sent = describe(OBS, space)[1].to_env(np.array([[1, -1e30, 0.05]], wide))
    expected = [[space.high[0], space.low[0], dtype(wide(0.05))]]
    np.testing.assert_array_equal(sent, expected)
    assert sent.dtype == dtype
    assert space.contains(sent[0])


def test_one_observation_or_a_batch():
    observations, _ = describe(OBS, BOX)
    rows, single = observations.batch(np.arange(6).reshape(2, 3))
    assert single
    np.testing.assert_array_equal(rows, [np.arange(6)])
    rows, single = observations.batch([[[0, 1, 2], [3, 4, 5]]] * 4)
    assert not single
    np.testing.assert_array_equal(rows, [np.arange(6)] * 4)
    for shape in ((), (3,), (6,), (0, 2, 3), (1, 1, 2, 3), (2, 3, 2)):
        with pytest.raises(ValueError, match=r"expected \(2, 3\) or a batch of such"):
            observations.batch(np.zeros(shape))
    with pytest.raises(TypeError, match="observation must be an array of real numbers"):
        observations.batch(np.full((2, 3), "x"))


def test_numbers_without_axes():
    """A Box of shape (): one number is an observation, a list of them is a batch."""
    observations, actions = describe(spaces.Box(-1, 1, ()), spaces.Box(-1, 1, ()))
    for given, alone in ((0.5, True), ([0.5, 0.5], False)):
        rows, single = observations.batch(given)
        assert (rows.shape, single) == ((np.size(given), 1), alone)
    assert actions.to_env(np.zeros((5, 1))).shape == (5,)


def test_box_actions_of_any_shape():
    _, actions = describe(OBS, spaces.Box(-1, 1, (2, 1, 2)))
    assert actions.to_env(np.zeros((5, 4))).shape == (5, 2, 1, 2)
    assert actions.from_user(np.zeros((3, 5, 2, 1, 2))).shape == (3, 5, 4)


def test_discrete_actions_with_a_start():
    _, actions = describe(OBS, spaces.Discrete(3, start=-1))
    sent = actions.to_env(np.array([[0.0], [2.0]], np.float32))
    np.testing.assert_array_equal(sent, [-1, 1])
    assert sent.dtype == np.int64
    np.testing.assert_array_equal(actions.from_user(np.array([[-1, 1]])), [[[0], [2]]])
    assert (actions.distribution, actions.parts) == ("categorical", (3,))


@pytest.mark.parametrize("wrong", [2, -2, 0.5])
def test_actions_outside_a_discrete_space_are_named(wrong):
    _, actions = describe(OBS, spaces.Discrete(3, start=-1))
    given = np.array([[0.0, 0.0], [0.0, wrong]])
    with pytest.raises(ValueError, match="of environment 1 at step 1 is not an integer from -1 to"):
        actions.from_user(given)


@pytest.mark.parametrize(
    ("observation", "action", "named"),
    [
        (spaces.Discrete(4), BOX, "observation space Discrete"),
        (spaces.Dict(a=OBS), BOX, "observation space Dict"),
        (spaces.Box(0, 1, (0,)), BOX, "observation space Box"),
        (OBS, spaces.MultiDiscrete([2, 3]), "action space MultiDiscrete"),
        (OBS, spaces.MultiBinary(3), "action space MultiBinary"),
        (OBS, spaces.Box(0, 4, (2,), np.int64), "action space Box"),
    ],
)
def test_unsupported_spaces_are_named(observation, action, named):
    with pytest.raises(ValueError, match=f"{named}.* is not supported: fasttrpo takes"):
        describe(observation, action)


@pytest.mark.parametrize("action", [BOX, spaces.Discrete(4, start=2)])
def test_spaces_survive_json(action):
    observations, actions = describe(OBS, action)
    text = json.dumps([observations.to_json(), actions.to_json()])
    again = from_json(*json.loads(text))
    assert again == (observations, actions)
    assert again[0].to_space() == OBS
    assert again[1].to_space() == action


def test_matching_spaces():
    observations, actions = describe(OBS, BOX)
    wider = describe(spaces.Box(-9, 9, (2, 3)), spaces.Discrete(2))
    assert observations.matches(wider[0])
    assert not actions.matches(wider[1])
    assert not observations.matches(describe(spaces.Box(-1, 1, (6,)), BOX)[0])
    assert not actions.matches(describe(OBS, spaces.Box(-1, 1, (2,)))[1])
