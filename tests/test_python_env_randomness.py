"""Environment functions that draw random numbers from another source than `random`."""

# ruff: noqa: NPY002
from __future__ import annotations

import functools
import os
import random as plain
from random import uniform

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from numpy import random as np_random
from numpy.random import normal as aliased
from tables import table

pytest.importorskip("fasttrpo.core._envs", reason="this installation has no compiled environments")

from fasttrpo.envs import NumbaEnvironment

generator = np.random.default_rng(0)
constant = np.array([1.0, 2.0])


class Thing:
    draws = generator
    static = staticmethod(np.random.rand)


def inner(x):
    return x + np.random.rand()


def outer(x):
    return 2 * inner(x)


bound = functools.partial(outer, 1.0)
bound_directly = functools.partial(np.random.uniform, 0, 1)
cached = functools.cache(outer)
members, named = (np.sin, (plain.random,)), {"uniform": uniform}


def by_attribute(state, action):
    return np.random.uniform(0, 1), False


def by_module(state, action):
    return plain.random(), False


def by_name(state, action):
    return uniform(0, 1), False


def by_alias(state, action):
    return aliased(), False


def by_submodule(state, action):
    return np_random.rand(), False


def by_helper(state, action):
    return outer(1.0), False


def by_partial(state, action):
    return bound(), False


def by_bound_function(state, action):
    return bound_directly(), False


def by_cache(state, action):
    return cached(1.0), False


def by_member(state, action):
    return members[1][0](), False


def by_dict(state, action):
    return named["uniform"](0, 1), False


def by_static_method(state, action):
    return Thing.static(), False


def by_system(state, action):
    return os.urandom(1)[0], False


def by_generator(state, action):
    return generator.random(), False


def by_object(state, action):
    return Thing.draws.random(), False


def by_import(state, action):
    import numpy

    return numpy.random.rand(), False


def by_import_from(state, action):
    from random import gauss

    return gauss(0, 1), False


def by_lambda(state, action):
    f = lambda: np.random.rand()  # noqa: E731
    return f(), False


def by_variable(state, action):
    source = np
    return source.random.rand(), False


def in_closure():
    draw = np.random.standard_normal

    def by_closure(state, action):
        return draw(), False

    return by_closure


def nothing(state):
    pass


def environment(**changes):
    usual = {
        "name": "Mine",
        "state_size": 1,
        "observation_space": Box(-9, 9, (1,)),
        "action_space": Discrete(2),
        "reset": nothing,
        "step": lambda state, action: (0.0, False),
    }
    return NumbaEnvironment(**usual | changes)


STEPS = [
    by_attribute,
    by_module,
    by_name,
    by_alias,
    by_submodule,
    by_helper,
    by_partial,
    by_bound_function,
    by_cache,
    by_member,
    by_dict,
    by_static_method,
    by_system,
    by_generator,
    by_object,
    by_import,
    by_import_from,
    by_lambda,
    by_variable,
    in_closure(),
]


@table("step", STEPS, ids=lambda step: step.__name__)
@table("compiled", [True, False], ids=["compiled", "interpreted"])
def test_foreign_randomness_is_rejected(step, compiled):
    if compiled:
        pytest.importorskip("numba")
    with pytest.raises(ValueError, match=r"^Mine: step uses .* the argument `random`") as error:
        environment(step=step).make_vec(2, compiled=compiled)
    assert error.value.filename == __file__


@pytest.mark.parametrize("role", ["reset", "observe"])
def test_every_function_is_checked_for_randomness(role):
    def reset(state):
        state[0] = np.random.rand()

    def observe(state, obs):
        obs[0] = np.random.rand()

    function = {"reset": reset, "observe": observe}[role]
    with pytest.raises(ValueError, match=rf"^Mine: {role} uses np\.random"):
        environment(**{role: function}).make_vec(2, compiled=False)


def test_randomness_from_the_argument_is_accepted():
    """Also through helpers that use another name, and with other NumPy functions."""

    def helper(stream):
        return stream.uniform(0, 1) * constant[0] + np.sin(0.5)

    def reset(state, random):
        state[0] = random.normal()

    def step(state, action, random):
        draw = lambda: random.uniform()  # noqa: E731
        return helper(random) + draw(), False

    env = environment(reset=reset, step=step).make_vec(2, compiled=False)
    env.reset(seed=1)
    env.step(np.zeros(2, int))
