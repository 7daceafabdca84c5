"""Spaces: shapes and types in and out, and a named error for unsupported ones."""

from __future__ import annotations

import json

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from helpers import INT8
from tables import table

from fasttrpo.spaces import describe, from_json

OBS = spaces.Box(-1, 1, (2, 3), np.float32)
BOX = spaces.Box(np.float32([-1, -2]), np.float32([1, np.inf]))
ACTIONS = {
    "box": BOX,
    "double": spaces.Box(-np.inf, np.inf, (2, 2), np.float64),
    "half": spaces.Box(-0.1, 0.1, (), np.float16),
    "discrete": spaces.Discrete(4, start=2),
    "short": spaces.Discrete(3, start=-1, **INT8),
    "multi_discrete": spaces.MultiDiscrete([[2, 3], [4, 1]], start=[[0, -1], [5, 2]]),
    "narrow": spaces.MultiDiscrete([3, 2], dtype=np.int16),
    "multi_binary": spaces.MultiBinary([2, 3]),
    "flat": spaces.MultiBinary(3),
}


def test_observations_are_flattened():
    observations, _ = describe(OBS, BOX)
    obs = np.arange(12.0).reshape(2, 2, 3)
    rows = observations.rows(obs, (2,))
    np.testing.assert_array_equal(rows, np.arange(12.0).reshape(2, 6))
    assert observations.size == 6


def test_invalid_observations_are_rejected():
    observations, _ = describe(OBS, BOX)
    with pytest.raises(ValueError, match=r"shape \(2, 3\), expected \(4, 2, 3\)"):
        observations.rows(np.zeros((2, 3)), (4,))
    with pytest.raises(TypeError, match="observation must be an array of real numbers"):
        observations.rows(np.full((1, 2, 3), "x"), (1,))


def test_box_actions_are_clipped_for_the_environment_only():
    _, actions = describe(OBS, BOX)
    act = np.array([[5.0, 5.0], [-5.0, -5.0]])
    sent = actions.to_env(act)
    np.testing.assert_array_equal(sent, [[1, 5], [-1, -2]])
    assert sent.dtype == np.float32
    np.testing.assert_array_equal(act, [[5, 5], [-5, -5]])
    assert (actions.distribution, actions.parts) == ("gaussian", (1, 1))


@table("wide", [np.float32, np.float64])
@table("dtype", [np.float16, np.float32, np.float64])
def test_bounds_are_exact_in_the_dtype_of_the_space(dtype, wide):
    """0.1 differs between precisions; actions arrive in the agent's."""
    space = spaces.Box(-0.1, 0.1, (3,), dtype)
    sent = describe(OBS, space)[1].to_env(np.array([[1, -1e30, 0.05]], wide))
    expected = [[space.high[0], space.low[0], dtype(wide(0.05))]]
    np.testing.assert_array_equal(sent, expected)
    assert sent.dtype == dtype
    assert space.contains(sent[0])


def test_a_single_observation_and_a_batch_are_distinguished():
    observations, _ = describe(OBS, BOX)
    rows, single = observations.batch(np.arange(6).reshape(2, 3))
    assert single
    np.testing.assert_array_equal(rows, [np.arange(6)])
    rows, single = observations.batch([[[0, 1, 2], [3, 4, 5]]] * 4)
    assert not single
    np.testing.assert_array_equal(rows, [np.arange(6)] * 4)
    for shape in ((), (3,), (6,), (0, 2, 3), (1, 1, 2, 3), (2, 3, 2)):
        with pytest.raises(ValueError, match=r"expected \(2, 3\) or a batch"):
            observations.batch(np.zeros(shape))
    with pytest.raises(TypeError, match="observation must be an array of real numbers"):
        observations.batch(np.full((2, 3), "x"))


def test_spaces_may_have_no_axes():
    """With a Box of shape (), one number is an observation and a list is a batch."""
    observations, actions = describe(spaces.Box(-1, 1, ()), spaces.Box(-1, 1, ()))
    for given, alone in ((0.5, True), ([0.5, 0.5], False)):
        rows, single = observations.batch(given)
        assert (rows.shape, single) == ((np.size(given), 1), alone)
    assert actions.to_env(np.zeros((5, 1))).shape == (5,)


def test_box_actions_may_have_any_shape():
    _, actions = describe(OBS, spaces.Box(-1, 1, (2, 1, 2)))
    assert actions.to_env(np.zeros((5, 4))).shape == (5, 2, 1, 2)
    assert actions.from_user(np.zeros((3, 5, 2, 1, 2))).shape == (3, 5, 4)


def test_discrete_actions_include_the_start():
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


NO_KIND = "use Box, Discrete, MultiDiscrete, MultiBinary, or Dict and Tuple of these"


@table(
    ("observation", "named"),
    [
        (spaces.Text(4), r"observation space Text\("),
        (spaces.Graph(OBS, None), r"observation space Graph\("),
        (spaces.Sequence(OBS), r"observation space Sequence\("),
        (spaces.OneOf([OBS, OBS]), r"observation space OneOf\("),
        (spaces.Dict(a=spaces.Tuple([OBS, spaces.Text(4)])), r"observation space\['a'\]\[1\] Text"),
    ],
)
def test_unsupported_observations_are_named_with_alternatives(observation, named):
    with pytest.raises(ValueError, match=f"{named}.* is not supported: {NO_KIND}"):
        describe(observation, BOX)


@pytest.mark.parametrize("nothing", [spaces.Box(0, 1, (0,)), spaces.Dict(), spaces.Tuple([])])
def test_an_empty_observation_space_is_rejected(nothing):
    with pytest.raises(ValueError, match=r"observation space .* is empty"):
        describe(nothing, BOX)


@table(
    ("action", "message"),
    [
        (
            spaces.Box(0, 4, (2,), np.int64),
            r"a MultiDiscrete\(high - low \+ 1, start=low\) has the",
        ),
        (spaces.Box(0, 1, (2,), bool), "a MultiBinary has the same actions"),
        (spaces.Box(0, 1, (0,)), "use a Box of real numbers, Discrete, MultiDiscrete"),
        (spaces.Dict(a=BOX), r"gymnasium\.wrappers\.TransformAction"),
        (spaces.Tuple([BOX]), r"gymnasium\.wrappers\.TransformAction"),
    ],
)
def test_unsupported_actions_are_named_with_alternatives(action, message):
    with pytest.raises(ValueError, match=f"action space .* is not supported: .*{message}"):
        describe(OBS, action)


@table("action", ACTIONS.values())
def test_actions_survive_json(action):
    actions = describe(OBS, action)[1]
    again = from_json(*json.loads(json.dumps([describe(OBS, BOX)[0].to_json(), actions.to_json()])))
    assert again[1] == actions
    assert again[1].to_space() == action
    assert again[1].to_space().dtype == action.dtype


@table("action", ACTIONS.values())
def test_sent_actions_are_in_the_space(action):
    """Through a vector environment, which passes each environment its own action."""
    actions = describe(OBS, action)[1]
    random = np.random.default_rng(0)
    drawn = random.normal(size=(20, len(actions.parts))) * 3
    if actions.distribution != "gaussian":
        drawn = random.integers(actions.choices.counts, size=drawn.shape).astype(np.float32)
    sent = actions.to_env(drawn)
    for each in gymnasium.vector.utils.iterate(batch_space(action, 20), sent):
        assert action.contains(each)
        assert each.dtype == action.dtype
    if actions.distribution != "gaussian":
        np.testing.assert_array_equal(actions.from_user(sent[None]), drawn[None])


@pytest.mark.parametrize("kind", ["discrete", "multi_discrete", "multi_binary"])
def test_actions_outside_the_space_are_named(kind):
    action = ACTIONS[kind]
    actions = describe(OBS, action)[1]
    given = np.array([[action.sample()] * 3] * 2).astype(float)
    for wrong in (0.5, 77.0, -77.0, np.nan):
        given[1, 2].flat[-1] = wrong
        if action.shape == ():
            given[1, 2] = wrong
        with pytest.raises(
            ValueError, match=f"action {wrong} of environment 2 at step 1 is not an"
        ):
            actions.from_user(given)


def test_scaled_actions_map_to_the_bounds_and_back():
    space = spaces.Box(np.float32([-1, 0, 2]), np.float32([3, 0.1, 2]))
    actions = describe(OBS, space)[1].configured(clip=True, scale=True)
    drawn = np.array([[-1, -1, -1], [0, 0, 0], [1, 1, 1], [-9, 9, 9], [0.5, 0.5, 0.5]], np.float32)
    sent = actions.to_env(drawn)
    np.testing.assert_allclose(sent[:, 0], [-1, 1, 3, -1, 2])
    np.testing.assert_allclose(sent[:, 1], [0, 0.05, 0.1, 0.1, 0.075], rtol=1e-6)
    assert all(map(space.contains, sent))
    free = describe(OBS, space)[1].configured(clip=False, scale=True)
    np.testing.assert_allclose(free.to_env(drawn)[3], [-17, 0.5, 2], rtol=1e-6)
    back = free.from_user(free.to_env(drawn)[None])
    np.testing.assert_allclose(back[0, :, :2], drawn[:, :2], atol=1e-6)
    assert np.isfinite(back).all()


def test_the_form_of_sent_actions_does_not_belong_to_the_space():
    actions = describe(OBS, spaces.Box(-1, 1, (2,)))[1]
    scaled = actions.configured(clip=False, scale=True)
    assert scaled.to_json() == actions.to_json()
    assert set(actions.to_json()) == {"kind", "shape", "low", "high", "dtype"}
    assert scaled.matches(actions)


def test_actions_may_be_sent_unclipped():
    _, actions = describe(OBS, BOX)
    np.testing.assert_array_equal(
        actions.configured(False, False).to_env(np.full((1, 2), 9)), [[9, 9]]
    )


@pytest.mark.parametrize("bounds", [(0, np.inf), (-np.inf, 1), (-np.inf, np.inf)])
def test_spaces_without_bounds_are_not_scaled(bounds):
    space = spaces.Box(
        *(np.float32([zero, bound]) for zero, bound in zip((0, 1), bounds, strict=True))
    )
    with pytest.raises(ValueError, match=r"needs finite bounds, and component 1 of Box.*=False"):
        describe(OBS, space)[1].configured(clip=True, scale=True)
    with pytest.warns(UserWarning, match=r"scale_actions has no effect on Discrete\(2\)"):
        describe(OBS, spaces.Discrete(2))[1].configured(clip=True, scale=True)


def test_spaces_match_by_shape_and_kind():
    observations, actions = describe(OBS, BOX)
    wider = describe(spaces.Box(-9, 9, (2, 3)), spaces.Discrete(2))
    assert observations.matches(wider[0])
    assert not actions.matches(wider[1])
    assert not observations.matches(describe(spaces.Box(-1, 1, (6,)), BOX)[0])
    assert not actions.matches(describe(OBS, spaces.Box(-1, 1, (2,)))[1])


def test_different_action_spaces_do_not_match():
    kinds = [describe(OBS, action)[1] for action in ACTIONS.values()]
    for i, own in enumerate(kinds):
        assert [own.matches(other) for other in kinds] == [i == j for j in range(len(kinds))]
