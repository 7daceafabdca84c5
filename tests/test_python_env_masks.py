"""`mask` functions of environments in Python: what is accepted, and their errors.

test_simulator_masks.py tests the effects of masks.
"""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from tables import table

pytest.importorskip("fasttrpo.core._envs", reason="this installation has no compiled environments")
pytest.importorskip("numba")

from fasttrpo.envs import CompileError, NumbaEnvironment, SimulationError

each_way = pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "interpreted"])


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """Always compiles; one cache for the whole test run."""
    monkeypatch.delenv("FASTTRPO_NUMBA", raising=False)
    monkeypatch.setenv("FASTTRPO_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "compiled"))


def start(state):
    state[0] = 0


def go(state, action):
    state[0] += 1
    return 0.0, False


def small(mask, **changes):
    usual = {
        "name": "Mine",
        "state_size": 1,
        "observation_space": Box(-9, 9, (1,)),
        "action_space": Discrete(3),
        "reset": start,
        "step": go,
    }
    return NumbaEnvironment(**usual | changes, mask=mask)


def nothing_open(state, mask):
    pass


def raising(mask, state):
    mask[0] = True
    if state[0] == 2:
        raise OverflowError("no masks today")


def writing(state, mask):
    mask[0] = True
    state[0] = 5


def out_of_bounds(state, mask):
    mask[3 + int(state[0])] = True


def returning(state, mask):
    mask[:] = True
    return 3


def truthy(state, mask):
    mask[0], mask[1], mask[2] = 256, 0.5, 0


@each_way
@table(
    ("mask", "words"),
    [
        (
            nothing_open,
            "the mask forbids all 3 choices of component 0 in environment 0 at its",
        ),
        (out_of_bounds, r"out_of_bounds raised IndexError: index .*out of bounds.* environment 0;"),
    ],
)
def test_a_wrong_first_mask_is_named(mask, words, compiled):
    with pytest.raises(SimulationError, match=words):
        small(mask).make_vec(2, compiled=compiled).reset(seed=0)


@each_way
def test_an_exception_in_a_mask_names_the_simulation(compiled):
    env = small(raising).make_vec(2, compiled=compiled)
    env.reset(seed=0)
    env.step(np.zeros(2, int))
    words = "raising raised OverflowError: no masks today .* in environment 0 at step 2"
    with pytest.raises(SimulationError, match=words) as error:
        env.step(np.zeros(2, int))
    assert isinstance(error.value.__cause__, OverflowError)


@each_way
def test_nonzero_numbers_count_as_open(compiled):
    env = small(truthy).make_vec(2, compiled=compiled)
    env.reset(seed=0)
    np.testing.assert_array_equal(env.action_masks(), [[True, True, False]] * 2)


def test_mask_functions_write_only_to_the_mask():
    with pytest.raises(CompileError, match="mask: it writes to a read-only array"):
        small(writing).make_vec(1)
    with pytest.raises(SimulationError, match=r"writing raised ValueError: .*read-only"):
        small(writing).make_vec(1, compiled=False).reset(seed=0)
    with pytest.raises(CompileError, match="mask must return nothing"):
        small(returning).make_vec(1)
    with pytest.raises(SimulationError, match=r"must return nothing, .* 3"):
        small(returning).make_vec(1, compiled=False).reset(seed=0)


def test_invalid_mask_definitions_are_rejected():
    with pytest.raises(ValueError, match=r"Mine: mask= requires .* not Box"):
        small(nothing_open, action_space=Box(-1, 1, (2,)))
    with pytest.raises(TypeError, match="mask must have the parameter 'mask'"):
        small(start)
    with pytest.raises(TypeError, match="did you mean 'mask'"):
        small(lambda state, masks: None)
    with pytest.raises(TypeError, match="mask must be a plain Python function"):
        small(np.ones(3))


@pytest.mark.parametrize("first", [True, False])
def test_the_cache_distinguishes_masks(first):
    """An environment with another mask, or none, is compiled separately."""

    def closed(state, mask):
        mask[0 if first else 2] = True

    env = small(closed).make_vec(1)
    env.reset(seed=0)
    assert env.action_masks()[0].tolist() == [first, False, not first]
    assert small(None).make_vec(1).envs_in_c.mask is None
