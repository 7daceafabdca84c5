"""Errors of environments in Python: functions that do not compile or fail, and bad definitions."""

from __future__ import annotations

import inspect
import math
import subprocess
import sys

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from tables import table

pytest.importorskip("fasttrpo.core._envs", reason="this installation has no compiled environments")
pytest.importorskip("numba")

from fasttrpo import TRPO
from fasttrpo.envs import CompileError, NumbaEnvironment, SimulationError, failures

each_way = pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "interpreted"])


@pytest.fixture(autouse=True)
def compiles(monkeypatch):
    """Compiles even if the other tests run without Numba."""
    monkeypatch.delenv("FASTTRPO_NUMBA", raising=False)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """One cache for the whole test run, separate from the user's."""
    monkeypatch.setenv("FASTTRPO_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "compiled"))


def reset(state):
    pass


def step(state, action):
    return 0.0, False


def environment(**changes):
    """An environment with a state of one number, with these changes."""
    usual = {
        "name": "Mine",
        "state_size": 1,
        "observation_space": Box(-9, 9, (1,)),
        "action_space": Discrete(6),
        "reset": reset,
        "step": step,
    }
    return NumbaEnvironment(**usual | changes)


# -- functions that do not compile ----------------------------------------------------------------


class Thing:
    size = 3


thing = Thing()


def writes_text(state, action):
    state[0] = "far"  # here
    return 0.0, False


def has_no_such_name(state, action):
    return undefined_name(state), False  # noqa: F821  # here


def uses_an_object(state, action):
    return thing.size, False  # here


def helper(x):
    y = x + 1
    return y.size_of_it  # here


def calls_a_helper(state, action):
    return helper(state[0]), False


def is_two_things(state, action):
    x = 1.0
    if state[0] > 0:
        x = state
    return x, False  # here


def imports(state, action):
    import os  # here

    return len(os.name), False


def has_no_such_attribute(state, action):
    return np.linalg.no_such(state), False  # here


def draws_unknown(state, action, random):
    return random.gauss(0, 1), False  # here


def has_no_such_option(state, action, options):
    return options.gravit, False  # here


def writes_the_action(state, action):
    action[0] = 3  # here
    return 0.0, False


def returns_one(state, action):  # here
    return state[0]


def returns_text(state, action):  # here
    return state[0], "yes"


def resets_with_a_value(state):  # here
    return state[0]


def observes_into_the_state(state, obs):
    state[0] = 3  # here


@table(
    ("function", "changes", "words", "where"),
    [
        (writes_text, {}, r"there is no array\[0\] = 'far'", None),
        (has_no_such_name, {}, "name 'undefined_name' is not defined", None),
        (uses_an_object, {}, r"'thing' is a .*Thing, not a number, array", None),
        (calls_a_helper, {}, "Unknown attribute 'size_of_it' of type float", helper),
        (is_two_things, {}, "'x' is float in one place and array in another", None),
        (imports, {}, r"unsupported opcode \(IMPORT_NAME\)", None),
        (has_no_such_attribute, {}, "has no attribute 'no_such'", None),
        (draws_unknown, {}, "Unknown attribute 'gauss' of type Random", None),
        (has_no_such_option, {"options": {"gravity": 1}}, "Unknown attribute 'gravit'", None),
        (writes_the_action, {"action_space": Box(-1, 1, (1,))}, "read-only array", None),
        (returns_one, {}, r"step must return \(reward, terminated\) or .*, but returns f", None),
        (returns_text, {}, r"step must return \(reward, terminated\) or .*, but returns T", None),
        (resets_with_a_value, {}, "reset must return nothing, but returns float", None),
        (observes_into_the_state, {}, "read-only array", None),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_compile_errors_name_the_line(function, changes, words, where):
    role = {"resets_with_a_value": "reset", "observes_into_the_state": "observe"}
    env = environment(**changes, **{role.get(function.__name__, "step"): function})
    with pytest.raises(CompileError, match=words) as error:
        env.make_vec(2)
    text, (lines, first) = str(error.value), inspect.getsourcelines(where or function)
    offset = next(i for i, line in enumerate(lines) if line.endswith("# here\n"))
    assert (error.value.filename, error.value.line) == (__file__, first + offset)
    assert f'File "{__file__}", line {first + offset}\n    {lines[offset].strip()}\n' in text
    assert text.startswith("Mine: ")
    assert "compiled=False" in text
    assert text.count("\n") == 3
    if "must return" not in text:
        assert error.value.__cause__ is not None


def test_functions_that_do_not_compile_can_be_interpreted():
    env = environment(step=uses_an_object).make_vec(2, compiled=False)
    env.reset()
    assert list(env.step(np.zeros(2, int))[1]) == [3, 3]


# -- functions that fail at run time ---------------------------------------------------------------


def check(x):
    if x > 4:
        raise ValueError("too far", x)  # too far


def fails(state, action):
    if action == 1:
        raise RuntimeError("one is bad")  # one
    if action == 2:
        state[0] = np.nan
    if action == 3:
        state[action] = 0  # index
    if action == 5:
        check(float(action))
    return np.inf if action == 4 else 1.0, False


LINES, FIRST = inspect.getsourcelines(sys.modules[__name__])


def line(mark):
    return next(i for i, text in enumerate(LINES, 1) if text.endswith(f"# {mark}\n"))


@each_way
@table(
    ("action", "words", "cause"),
    [
        (
            1,
            f"raised RuntimeError: one is bad .*_errors.py, line {line('one')}.",
            RuntimeError,
        ),
        (2, "component 0 of the observation is nan", type(None)),
        (3, "fails raised IndexError: index .*out of bounds", IndexError),
        (4, "a reward is not finite", type(None)),
        (5, f"fails raised ValueError: .*too far.*, line {line('too far')}.", ValueError),
    ],
    ids=["raises", "observes nan", "index", "is paid infinity", "a helper raises"],
)
def test_a_failing_environment_is_named_and_others_continue(compiled, action, words, cause):
    env = environment(step=fails).make_vec(3, compiled=compiled)
    env.reset()
    env.step(np.zeros(3, int))
    with pytest.raises(SimulationError, match=words) as error:
        env.step(np.array([0, action, 0]))
    assert "in environment 1 at step 2 of its episode; the others" not in str(error.value)
    assert "in environment 1 at step 2 of its episode; the other environ" in str(error.value)
    assert (error.value.env, error.value.step) == (1, 2)
    assert isinstance(error.value.__cause__, cause)
    assert list(env.envs_in_c.episode_length) == [2, 1, 1]
    env.reset(options={"reset_mask": np.array([False, True, False])})
    env.step(np.zeros(3, int))
    assert list(env.envs_in_c.episode_length) == [3, 1, 2]


def test_a_compiled_failure_without_a_line_says_how_to_find_it():
    env = environment(step=fails).make_vec(2)
    env.reset()
    with pytest.raises(SimulationError, match="compiled=False shows the line"):
        env.step(np.array([3, 0]))
    env = environment(step=fails).make_vec(2, compiled=False)
    env.reset()
    with pytest.raises(SimulationError, match=rf"line {line('index')}\)"):
        env.step(np.array([3, 0]))


@each_way
def test_a_failing_reset_is_named(compiled):
    def bad(state):
        raise ValueError("no")

    env = environment(reset=bad).make_vec(2, compiled=compiled)
    with pytest.raises(SimulationError, match=r"bad raised ValueError: no .* in environment 0;"):
        env.reset()


@each_way
def test_an_unwritten_observation_is_an_error(compiled):
    def observe(state, obs):
        obs[0] = 1

    wide = {"observation_space": Box(-9, 9, (2,)), "observe": observe}
    with pytest.raises(SimulationError, match="component 1 of the observation is nan"):
        environment(**wide).make_vec(2, compiled=compiled).reset()


@each_way
def test_writing_beyond_the_observation_is_an_error(compiled):
    def observe(state, obs):
        obs[1] = 1

    with pytest.raises(SimulationError, match="observe raised IndexError"):
        environment(observe=observe).make_vec(2, compiled=compiled).reset()


@pytest.mark.parametrize("function", [returns_one, returns_text, writes_the_action])
def test_interpreted_functions_are_checked_too(function):
    space = Box(-1, 1, (1,)) if function is writes_the_action else Discrete(3)
    env = environment(step=function, action_space=space).make_vec(2, compiled=False)
    env.reset()
    if function is returns_text:
        return  # in the interpreter, any object is true or false
    words = "it must return|read-only"
    with pytest.raises(SimulationError, match=words):
        env.step(env.action_space.sample())


def test_keyboard_interrupts_pass_through():
    def interrupted(state, action):
        raise KeyboardInterrupt

    env = environment(step=interrupted).make_vec(2, compiled=False)
    env.reset()
    with pytest.raises(KeyboardInterrupt):
        env.step(np.zeros(2, int))


def test_a_failure_during_learn_keeps_the_last_update():
    def late(state, action):
        state[0] += 1
        if state[0] > 20:
            raise ValueError("late")
        return 1.0, False

    env = environment(step=late, observation_space=Box(0, 30, (1,)))
    model = TRPO("MlpPolicy", env, n_envs=2, n_steps=15, seed=0).learn(30)
    before = model.snapshot().state
    with pytest.raises(SimulationError, match=r"late raised ValueError: late .* at step 21"):
        model.learn(30, reset_num_timesteps=False)
    after = model.snapshot().state
    assert all(np.array_equal(before[name], after[name]) for name in before)


def no_cause_is_kept(env):
    return all(failures.noted(state.ctypes.data) is None for state in env.states)


@each_way
def test_a_failure_never_reports_an_earlier_exception(compiled):
    """When several environments fail in one rollout, one is reported and the others are dropped."""

    def fails(state, action, options):
        state[0] += 1
        if state[0] > 2 and options.what == 1:
            raise ValueError("no fuel")
        return math.nan if options.what == 2 else 1.0, False

    env = environment(step=fails, options={"what": 1}).make_vec(3, compiled=compiled)
    with pytest.raises(SimulationError, match="no fuel"):
        TRPO("MlpPolicy", env, n_steps=8, seed=0).learn(24)
    assert no_cause_is_kept(env)
    env.envs_in_c.set_options({"what": 2})
    env.reset()
    with pytest.raises(SimulationError, match="a reward is not finite in environment 0 at step 1"):
        env.step(np.zeros(3, int))
    env.envs_in_c.set_options({"what": 0})
    state = env.states[1].ctypes.data
    failures.note(state, "step", ValueError("from an earlier rollout"), "")
    env.reset()
    assert no_cause_is_kept(env)


# -- bad definitions ------------------------------------------------------------------------------


@table(
    ("changes", "error", "words"),
    [
        ({"name": ""}, ValueError, "name must be"),
        ({"state_size": 0}, ValueError, "state_size must be an integer"),
        ({"state_size": 2}, ValueError, "a state of 2 numbers .* observation of 1: pass obs"),
        ({"observation_space": Dict()}, TypeError, "observation_space must be a gymn.*Box"),
        ({"observation_space": Box(-1, 1, (2, 2))}, ValueError, "must have one dimension"),
        ({"action_space": Dict()}, TypeError, "action_space must be"),
        ({"action_space": Box(-1, 1, ())}, ValueError, "must have one dimension"),
        ({"action_space": Discrete(3, start=1)}, ValueError, "from 0"),
        ({"action_space": MultiDiscrete([[2, 2]])}, ValueError, "one-dimensional"),
        ({"max_episode_steps": -1}, ValueError, "max_episode_steps must be"),
        ({"reward_threshold": np.nan}, ValueError, "reward_threshold must be"),
        ({"options": {"a b": 1}}, ValueError, "'a b' cannot be an option's name"),
        ({"options": {"num_envs": 1}}, ValueError, "cannot be an option's name"),
        ({"options": {"a": "1"}}, ValueError, r"options\['a'\] must be a finite number"),
        ({"compiled": "no"}, ValueError, "compiled must be True or False"),
        ({"reset": None}, TypeError, "reset must be a plain Python function"),
        ({"step": lambda state: 0}, TypeError, "'action': def step"),
        ({"step": lambda stat, action: 0}, TypeError, "did you mean 'state'"),
        ({"step": lambda *state, action: 0}, TypeError, "state must be an ordinary parameter"),
        ({"reset": lambda state, action: 0}, TypeError, "unknown parameter 'action'"),
    ],
)
def test_bad_definitions_are_rejected(changes, error, words):
    with pytest.raises(error, match=words):
        environment(**changes)


def test_without_numba_the_error_says_how_to_install_it():
    code = """
import sys
sys.modules["numba"] = None
from test_python_env_errors import environment, step
from gymnasium.spaces import Box
try:
    environment().make_vec(2)
except ImportError as error:
    print(error)
env = environment().make_vec(2, compiled=False)
env.reset()
print(env.step([0, 1])[1])
"""
    code = code.replace("from test_python_env_errors import environment, step", _without_pytest())
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'fasttrpo[numba]'" in out.stdout
    assert "FASTTRPO_NUMBA=0" in out.stdout
    assert out.stdout.endswith("[0. 0.]\n")


def _without_pytest():
    """The source of `environment` and what it needs."""
    parts = "".join(inspect.getsource(function) for function in (reset, step, environment))
    imports = "from gymnasium.spaces import Box, Discrete\n"
    return imports + "from fasttrpo.envs import NumbaEnvironment\n" + parts
