"""Observations of every space as rows, as Gymnasium's `flatten` defines them."""

from __future__ import annotations

import json
from collections import OrderedDict

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim, flatten
from gymnasium.vector.utils import batch_space, iterate
from helpers import INT8
from tables import table

from fasttrpo.spaces import describe, observations, warn_of_images

ACTION = spaces.Discrete(2)
IMAGE = spaces.Box(0, 255, (2, 3, 1), np.uint8)
SPACES = {
    "box": spaces.Box(-1, 1, (2, 3), np.float32),
    "number": spaces.Box(-1, 1, (), np.float64),
    "unbounded": spaces.Box(-np.inf, np.inf, (2, 1, 2)),
    "integers": spaces.Box(-5, 900, (3,), np.int64),
    "largest": spaces.Box(-(2**63), 2**63 - 1, (1,), np.int64),
    "small bytes": spaces.Box(0, 9, (4,), np.uint8),
    "bools": spaces.Box(0, 1, (2, 2), bool),
    "discrete": spaces.Discrete(5),
    "started": spaces.Discrete(4, start=-2),
    "narrow": spaces.Discrete(4, start=7, **INT8),
    "multi_discrete": spaces.MultiDiscrete([3, 2, 4]),
    "grid": spaces.MultiDiscrete([[2, 3], [4, 1]], start=[[0, -1], [5, 2]]),
    "multi_binary": spaces.MultiBinary(3),
    "board": spaces.MultiBinary([2, 2]),
    "dict": spaces.Dict({"b": spaces.Discrete(3), "a": spaces.Box(-1, 1, (2,))}),
    "ordered": spaces.Dict(OrderedDict(b=spaces.Discrete(3), a=spaces.Box(-1, 1, (2,)))),
    "choices": spaces.Tuple([spaces.Discrete(3), spaces.Discrete(2, start=5)]),
    "tuple": spaces.Tuple([spaces.MultiBinary(2), spaces.Box(-1, 1, (2,)), spaces.Discrete(2)]),
    "nested": spaces.Dict(
        {
            "z": spaces.Tuple([spaces.Discrete(3, start=1), spaces.Dict(y=spaces.Box(0, 1, (0,)))]),
            "k": spaces.Dict({"b": spaces.MultiDiscrete([2, 3]), "a": spaces.Box(-1, 1, ())}),
            "m": spaces.MultiBinary([1, 2]),
        }
    ),
}
every_space = table("space", SPACES.values(), ids=SPACES)


def describe_obs(space):
    return describe(space, ACTION)[0]


def samples(space, n, seed=0):
    """n observations, and the batch that a vector environment makes of them."""
    batch_of = batch_space(space, n)
    batch_of.seed(seed)
    batch = batch_of.sample()
    return list(iterate(batch_of, batch)), batch


@every_space
@pytest.mark.parametrize("n", [1, 7])
def test_rows_equal_gymnasium_flatten(space, n):
    each, batch = samples(space, n)
    rows = describe_obs(space).rows(batch, (n,))
    assert describe_obs(space).size == flatdim(space)
    np.testing.assert_array_equal(rows, [flatten(space, one) for one in each])


@every_space
def test_a_single_observation_and_a_batch_are_told_apart(space):
    each, batch = samples(space, 3)
    rows, single = describe_obs(space).batch(batch)
    assert (rows.shape, single) == ((3, flatdim(space)), False)
    row, single = describe_obs(space).batch(each[1])
    assert single
    np.testing.assert_array_equal(row[0], rows[1])


@every_space
def test_descriptions_survive_json(space):
    again = observations.from_json(json.loads(json.dumps(describe_obs(space).to_json())))
    assert again == describe_obs(space)
    assert again.matches(describe_obs(space))
    assert again.to_space() == space
    np.testing.assert_array_equal(
        again.rows(samples(space, 2)[1], (2,)), describe_obs(space).rows(samples(space, 2)[1], (2,))
    )


def test_only_spaces_with_the_same_parts_match():
    kinds = {name: describe_obs(space) for name, space in SPACES.items()}
    for name, own in kinds.items():
        same = {"dict", "ordered"} if name in ("dict", "ordered") else {name}
        assert {other for other in kinds if own.matches(kinds[other])} == same


def test_dict_observations_are_read_by_key():
    """Columns follow the order of the space's keys."""
    own, other = describe_obs(SPACES["dict"]), describe_obs(SPACES["ordered"])
    obs = {"a": np.ones((2, 2)), "b": np.array([0, 2])}
    np.testing.assert_array_equal(own.rows(obs, (2,)), [[1, 1, 1, 0, 0], [1, 1, 0, 0, 1]])
    np.testing.assert_array_equal(other.rows(obs, (2,)), [[1, 0, 0, 1, 1], [0, 0, 1, 1, 1]])


# -- images ---------------------------------------------------------------------------------------


def test_images_are_scaled_by_the_rule_of_stable_baselines3():
    obs = np.arange(0, 252, 42, np.uint8).reshape(1, 2, 3, 1)
    np.testing.assert_array_equal(describe_obs(IMAGE).rows(obs, (1,)), obs.reshape(1, 6) / 255)
    parts = describe_obs(spaces.Dict(eye=IMAGE, ram=spaces.Box(0, 255, (4,), np.uint8)))
    assert parts.images() == ["observation['eye']"]
    observation = {"eye": obs, "ram": np.full((1, 4), 255, np.uint8)}
    np.testing.assert_array_equal(
        parts.rows(observation, (1,)), [[*obs.ravel() / 255, 255, 255, 255, 255]]
    )


@table(
    "space",
    [
        spaces.Box(0, 255, (6,), np.uint8),
        spaces.Box(0, 255, (2, 3), np.uint8),
        spaces.Box(0, 255, (1, 2, 3, 1), np.uint8),
        spaces.Box(0, 10, (1, 2, 3), np.uint8),
        spaces.Box(0, 255, (1, 2, 3), np.int16),
    ],
    ids=str,
)
def test_boxes_that_are_not_images_are_not_scaled(space):
    obs = np.arange(6, dtype=space.dtype)
    np.testing.assert_array_equal(
        describe_obs(space).rows(obs.reshape(1, *space.shape), (1,)), [obs]
    )


def test_an_image_without_channels_warns():
    with pytest.warns(UserWarning, match="flattened and not scaled, as it has no axis of channels"):
        warn_of_images(describe_obs(spaces.Box(0, 255, (2, 3), np.uint8)))


def test_images_and_float_boxes_do_not_match():
    floats = describe_obs(spaces.Box(0, 1, (2, 3, 1)))
    assert not describe_obs(IMAGE).matches(floats)
    assert not floats.matches(describe_obs(IMAGE))


@table(("shape", "scaled"), [((2, 3, 1), None), ((6,), True), ((2, 3), True), ((6,), False)])
def test_a_saved_model_scales_images_as_in_training(shape, scaled):
    """None: saved before images were scaled."""
    space = spaces.Box(0, 255, shape, np.uint8)
    data = {**describe_obs(space).to_json(), "scaled": scaled}
    if scaled is None:
        del data["scaled"]
    old = observations.from_json(json.loads(json.dumps(data)))
    assert old.matches(describe_obs(space))
    row = old.rows(np.full((1, *shape), 255, np.uint8), (1,))
    np.testing.assert_array_equal(row, np.full((1, 6), 1 if scaled else 255))
    assert json.loads(json.dumps(old.to_json()))["scaled"] is bool(scaled)


# -- errors ---------------------------------------------------------------------------------------

NESTED = SPACES["nested"]


def broken(**changes):
    """A batch of two of NESTED with some parts replaced."""
    return {**samples(NESTED, 2)[1], **changes}


@table(
    ("observation", "error", "message"),
    [
        (3, TypeError, r"observation must be a dict with \['k', 'm', 'z'\], got int"),
        ({"k": 0, "m": 0}, ValueError, r"observation lacks 'z': it has \['k', 'm'\]"),
        (
            broken(k=[1]),
            TypeError,
            r"observation\['k'\] must be a dict with \['a', 'b'\], got list",
        ),
        (broken(z=np.ones(2)), TypeError, r"observation\['z'\] must be a tuple of 2 parts, got nd"),
        (broken(z=(1, 2, 3)), ValueError, r"observation\['z'\] has 3 parts, expected 2"),
        (broken(m=np.ones((2, 2))), ValueError, r"observation\['m'\] has shape \(2, 2\), expected"),
        (broken(m=np.ones((3, 1, 2))), ValueError, r"\['m'\] is a batch of 3, but .*a batch of 2"),
        (broken(m=np.ones((1, 2))), ValueError, r"\['m'\] is one observation, but .* a batch of 2"),
        (
            broken(m=np.full((2, 1, 2), "x")),
            TypeError,
            r"observation\['m'\] must be an array of real",
        ),
        (
            broken(z=(np.array([1, 4]), {"y": np.ones((2, 0))})),
            ValueError,
            r"observation\['z'\]\[0\] 4 of row 1 is not an integer from 1 to 3",
        ),
        (
            broken(k={"a": np.ones(2), "b": np.array([[0, 1], [1, 3]])}),
            ValueError,
            r"observation\['k'\]\['b'\] 3 of row 1 is not an integer from 0 to 2 \(component 1\)",
        ),
    ],
)
def test_errors_name_the_wrong_part(observation, error, message):
    with pytest.raises(error, match=message):
        describe_obs(NESTED).batch(observation)


def test_keys_of_dict_spaces_must_survive_a_file():
    given = spaces.Dict([(np.int64(1), spaces.Discrete(2)), (2, spaces.Discrete(3))])
    kind = observations.from_space(given)
    assert observations.from_json(json.loads(json.dumps(kind.to_json()))) == kind
    assert kind.rows({np.int64(1): 1, 2: 0}, ()).tolist() == [0, 1, 1, 0, 0]
    with pytest.raises(ValueError, match=r"observation space has the key \(1, 2\), which"):
        observations.from_space(spaces.Dict([((1, 2), spaces.Discrete(2))]))


@table("wrong", [5, -1, 1.5, np.nan, np.inf, 1e30])
def test_integers_outside_a_space_are_named(wrong):
    with pytest.raises(ValueError, match=r"observation \S+ of row 1 is not an integer from 0 to 4"):
        describe_obs(spaces.Discrete(5)).batch([0, wrong])
    with pytest.raises(ValueError, match=r"observation \S+ is not an integer from 0 to 4$"):
        describe_obs(spaces.Discrete(5)).batch(wrong)


def test_invalid_rows_are_not_checked():
    space = SPACES["grid"]
    _, batch = samples(space, 6)
    obs = batch.reshape(3, 2, 2, 2).astype(float)
    valid = np.ones((3, 2), bool)
    valid[1, 0] = False
    expected = describe_obs(space).rows(obs, (3, 2))[valid]
    obs[1, 0] = np.nan
    rows = describe_obs(space).rows(obs, (3, 2), "rollout obs", valid)
    np.testing.assert_array_equal(rows[valid], expected)
    with pytest.raises(ValueError, match=r"rollout obs nan of environment 0 at step 1"):
        describe_obs(space).rows(obs, (3, 2), "rollout obs")
