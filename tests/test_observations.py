"""Observations of every space as rows: Gymnasium's `flatten` is what they must be."""

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


def of(space):
    return describe(space, ACTION)[0]


def samples(space, n, seed=0):
    """n observations in a row, and the batch that a vector environment makes of them."""
    batch_of = batch_space(space, n)
    batch_of.seed(seed)
    batch = batch_of.sample()
    return list(iterate(batch_of, batch)), batch


@every_space
def test_rows_are_what_gymnasium_flattens_to(space):
    each, batch = samples(space, 7)
    rows = of(space).rows(batch, (7,))
    assert of(space).size == flatdim(space)
    np.testing.assert_array_equal(rows, [flatten(space, one) for one in each])


@every_space
def test_one_or_a_batch(space):
    each, batch = samples(space, 3)
    rows, single = of(space).batch(batch)
    assert (rows.shape, single) == ((3, flatdim(space)), False)
    row, single = of(space).batch(each[1])
    assert single
    np.testing.assert_array_equal(row[0], rows[1])


@every_space
def test_observations_survive_json(space):
    again = observations.from_json(json.loads(json.dumps(of(space).to_json())))
    assert again == of(space)
    assert again.matches(of(space))
    assert again.to_space() == space
    np.testing.assert_array_equal(
        again.rows(samples(space, 2)[1], (2,)), of(space).rows(samples(space, 2)[1], (2,))
    )


def test_no_two_spaces_match_but_those_of_the_same_parts():
    kinds = {name: of(space) for name, space in SPACES.items()}
    for name, own in kinds.items():
        same = {"dict", "ordered"} if name in ("dict", "ordered") else {name}
        assert {other for other in kinds if own.matches(kinds[other])} == same


def test_a_model_takes_observations_by_their_names():
    """Whatever the order of the keys is in the environment."""
    own, other = of(SPACES["dict"]), of(SPACES["ordered"])
    obs = {"a": np.ones((2, 2)), "b": np.array([0, 2])}
    np.testing.assert_array_equal(own.rows(obs, (2,)), [[1, 1, 1, 0, 0], [1, 1, 0, 0, 1]])
    np.testing.assert_array_equal(other.rows(obs, (2,)), [[1, 0, 0, 1, 1], [0, 0, 1, 1, 1]])


# -- bytes ----------------------------------------------------------------------------------------


def test_images_are_scaled_by_stable_baselines3_s_rule():
    obs = np.arange(0, 252, 42, np.uint8).reshape(1, 2, 3, 1)
    np.testing.assert_array_equal(of(IMAGE).rows(obs, (1,)), obs.reshape(1, 6) / 255)
    parts = of(spaces.Dict(eye=IMAGE, ram=spaces.Box(0, 255, (4,), np.uint8)))
    assert parts.images() == ["observation['eye']"]
    seen = {"eye": obs, "ram": np.full((1, 4), 255, np.uint8)}
    np.testing.assert_array_equal(
        parts.rows(seen, (1,)), [[*obs.ravel() / 255, 255, 255, 255, 255]]
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
def test_other_bytes_are_as_they_are(space):
    obs = np.arange(6, dtype=space.dtype)
    np.testing.assert_array_equal(of(space).rows(obs.reshape(1, *space.shape), (1,)), [obs])


def test_a_picture_without_channels_is_told():
    with pytest.warns(UserWarning, match="flattened and not scaled, as it has no axis of channels"):
        warn_of_images(of(spaces.Box(0, 255, (2, 3), np.uint8)))


def test_bytes_and_other_numbers_are_no_match():
    floats = of(spaces.Box(0, 1, (2, 3, 1)))
    assert not of(IMAGE).matches(floats)
    assert not floats.matches(of(IMAGE))


@table(("shape", "scaled"), [((2, 3, 1), None), ((6,), True), ((2, 3), True), ((6,), False)])
def test_a_saved_model_sees_what_it_was_trained_on(shape, scaled):
    """None: from before anything was scaled."""
    space = spaces.Box(0, 255, shape, np.uint8)
    data = {**of(space).to_json(), "scaled": scaled}
    if scaled is None:
        del data["scaled"]
    old = observations.from_json(json.loads(json.dumps(data)))
    assert old.matches(of(space))
    seen = old.rows(np.full((1, *shape), 255, np.uint8), (1,))
    np.testing.assert_array_equal(seen, np.full((1, 6), 1 if scaled else 255))
    assert json.loads(json.dumps(old.to_json()))["scaled"] is bool(scaled)


# -- what is wrong --------------------------------------------------------------------------------

NESTED = SPACES["nested"]


def broken(**changes):
    """A batch of two of NESTED with some of it replaced."""
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
def test_wrong_observations_are_named(observation, error, message):
    with pytest.raises(error, match=message):
        of(NESTED).batch(observation)


def test_keys_are_such_as_a_file_keeps():
    given = spaces.Dict([(np.int64(1), spaces.Discrete(2)), (2, spaces.Discrete(3))])
    kind = observations.from_space(given)
    assert observations.from_json(json.loads(json.dumps(kind.to_json()))) == kind
    assert kind.rows({np.int64(1): 1, 2: 0}, ()).tolist() == [0, 1, 1, 0, 0]
    with pytest.raises(ValueError, match=r"observation space has the key \(1, 2\), which"):
        observations.from_space(spaces.Dict([((1, 2), spaces.Discrete(2))]))


@table("wrong", [5, -1, 1.5, np.nan, np.inf, 1e30])
def test_integers_outside_of_a_space_are_named(wrong):
    with pytest.raises(ValueError, match=r"observation \S+ of row 1 is not an integer from 0 to 4"):
        of(spaces.Discrete(5)).batch([0, wrong])
    with pytest.raises(ValueError, match=r"observation \S+ is not an integer from 0 to 4$"):
        of(spaces.Discrete(5)).batch(wrong)


def test_what_is_not_valid_is_not_looked_at():
    space = SPACES["grid"]
    _, batch = samples(space, 6)
    obs = batch.reshape(3, 2, 2, 2).astype(float)
    valid = np.ones((3, 2), bool)
    valid[1, 0] = False
    expected = of(space).rows(obs, (3, 2))[valid]
    obs[1, 0] = np.nan
    rows = of(space).rows(obs, (3, 2), "rollout obs", valid)
    np.testing.assert_array_equal(rows[valid], expected)
    with pytest.raises(ValueError, match=r"rollout obs nan of environment 0 at step 1"):
        of(space).rows(obs, (3, 2), "rollout obs")
