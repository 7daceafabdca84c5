"""The disk cache of compiled environments: shared between processes, never used after a change."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fasttrpo.core._envs", reason="this installation has no compiled environments")
pytest.importorskip("numba")

SOURCE = """
import sys
from collections import namedtuple
from enum import IntEnum
from gymnasium.spaces import Box, Discrete
from fasttrpo.envs import NumbaEnvironment
import constants

GRAVITY = 2.0

class Kind(IntEnum):
    LIGHT = 0
    HEAVY = 7

Shape = namedtuple("Shape", "wide high")
SHAPE = Shape(0.0, 0.25)

class Fault(ValueError):
    text = "at fault"

def shape_of(x):
    return Shape(x, 8.0)

def pull(x):
    return x + GRAVITY

def make(extra):
    def reset(state, random):
        state[0] = constants.START

    def step(state, action):
        state[0] = pull(state[0]) + extra + SHAPE.wide + shape_of(0.0).wide
        if Kind.LIGHT == 1:
            state[0] += 1.0
        if state[0] > 90:
            raise Fault("too far")
        return state[0], False

    return NumbaEnvironment(
        name="Kept", state_size=1, reset=reset, step=step,
        observation_space=Box(-99, 99, (1,)), action_space=Discrete(2),
    )

def first_reward(env):
    env.reset()
    return env.step([0])[1][0]

if __name__ == "__main__":
    import numba.core.dispatcher as dispatcher
    compiled = []
    original = dispatcher._FunctionCompiler.compile
    def compile(self, *args):
        compiled.append(self.py_func.__name__)
        return original(self, *args)
    dispatcher._FunctionCompiler.compile = compile
    reward = first_reward(make(0.5).make_vec(1))
    print(reward, "step" in compiled)
"""


@pytest.fixture(autouse=True)
def compiles(monkeypatch):
    """Compiles even if the other tests run without Numba."""
    monkeypatch.delenv("FASTTRPO_NUMBA", raising=False)


@pytest.fixture
def run(monkeypatch):
    """Runs a program in a new process with the cache in ./cache; returns (reward, was compiled)."""
    monkeypatch.setenv("FASTTRPO_CACHE_DIR", str(Path("cache").resolve()))
    # `edit` keeps a file's time and size, which Python's own module cache relies on.
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    Path("kept.py").write_text(SOURCE)
    Path("constants.py").write_text("START = 1.0\n")

    def result(*arguments):
        command = [sys.executable, *(arguments or ["kept.py"])]
        out = subprocess.run(command, capture_output=True, text=True, check=False)
        assert out.returncode == 0, out.stderr
        reward, was_compiled = out.stdout.split()
        return float(reward), was_compiled == "True"

    return result


RERUN = """
import runpy, sys
for _ in sys.stdin:
    sys.modules.pop("constants", None)
    runpy.run_path("kept.py", run_name="__main__")
    sys.stdout.flush()
"""


@pytest.fixture
def rerun(run):
    """As `run`, but in one process that reads the sources again each time."""
    Path("rerun.py").write_text(RERUN)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "rerun.py"], **pipes) as process:

        def result():
            process.stdin.write("\n")
            process.stdin.flush()
            reward, was_compiled = process.stdout.readline().split()
            return float(reward), was_compiled == "True"

        yield result
        process.stdin.close()


def edit(file, old, new):
    """Replaces text by text of the same length and keeps the file's modification time."""
    path = Path(file)
    times, text = path.stat(), path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_compiled_code_is_shared_between_processes_unless_damaged(run):
    """Also for scripts and closures, which Numba's own cache does not keep."""
    assert run() == (3.5, True)
    assert run() == (3.5, False)
    for path in Path("cache/__pycache__").glob("*.nbi"):
        path.write_bytes(b"rubbish")
    assert run() == (3.5, True)


# What changes: (file, old text, new text, the reward afterwards).
CHANGES = {
    "a global": ("kept.py", "GRAVITY = 2.0", "GRAVITY = 3.0", 4.5),
    "a helper": ("kept.py", "x + GRAVITY", "x - GRAVITY", -0.5),
    "a closure's variable": ("kept.py", "make(0.5)", "make(1.5)", 4.5),
    "another module": ("constants.py", "1.0", "5.0", 7.5),
    "the function": ("kept.py", "state[0], False", "state[0] * 2, False", 7.0),
    "an enum's values": ("kept.py", "LIGHT = 0", "LIGHT = 1", 4.5),
    "a namedtuple's fields": ("kept.py", "wide high", "high wide", 11.75),
    "an exception": ("kept.py", "at fault", "at Fault", 3.5),
}


def test_every_change_is_recompiled(rerun):
    """Each change starts from the same source, which stays cached, as does the last change."""
    assert rerun() == (3.5, True)
    for what, (file, old, new, reward) in CHANGES.items():
        edit(file, old, new)
        assert rerun() == (reward, True), what
        edit(file, new, old)
    assert rerun() == (3.5, False)
    edit(file, old, new)
    assert rerun() == (reward, False)


def test_code_without_a_file_is_cached(run):
    assert run("-c", SOURCE) == (3.5, True)
    assert run("-c", SOURCE) == (3.5, False)


def test_without_a_writable_cache_environments_still_compile(run, monkeypatch):
    Path("file").write_text("no folder")
    monkeypatch.setenv("FASTTRPO_CACHE_DIR", str(Path("file").resolve()))
    assert run() == (3.5, True)


def test_code_that_uses_unidentifiable_objects_is_not_cached(run):
    """A user's object that Numba could accept, but whose changes cannot be detected."""
    from fasttrpo.envs.python.functions import NoIdentityError, identity

    thing = object()

    def uses_it():
        return thing

    with pytest.raises(NoIdentityError, match="object"):
        identity(uses_it)


def test_classes_are_identified_by_their_contents():
    """A name is not enough; a class that holds an unidentifiable object is not cached."""
    from collections import namedtuple
    from enum import Enum

    from fasttrpo.envs.python.functions import NoIdentityError, identity

    def of(value):
        def uses_it():
            return value

        return identity(uses_it)

    def enum(**members):
        return Enum("Kind", members)

    def fault(**attributes):
        return type("Fault", (ValueError,), attributes)

    assert of(enum(A=1)) == of(enum(A=1)) != of(enum(A=2))
    assert of(enum(A=1, B=2).A) != of(enum(A=2, B=1).A)
    pairs = [namedtuple("Pair", names, defaults=(0,)) for names in ("a b", "a b", "b a")]
    assert of(pairs[0]) == of(pairs[1]) != of(pairs[2])
    assert of(pairs[0](1, 2)) == of(pairs[1](1, 2)) != of(pairs[2](1, 2))
    assert of(pairs[0]) != of(namedtuple("Pair", "a b", defaults=(1,)))
    assert of(fault(text="a")) == of(fault(text="a")) != of(fault(text="b"))
    with pytest.raises(NoIdentityError, match="object"):
        of(fault(thing=object()))


def test_the_oldest_cache_entries_are_removed(tmp_path, monkeypatch):
    from fasttrpo.envs.python import jit

    monkeypatch.setattr(jit, "MAX_ENTRIES", 3)
    (tmp_path / "__pycache__").mkdir()
    for i in range(6):
        (tmp_path / f"env_{i}.py").write_text("")
        os.utime(tmp_path / f"env_{i}.py", (i, i))
        (tmp_path / "__pycache__" / f"env_{i}.step-1.py311.nbi").write_text("")
    jit.drop_oldest(tmp_path)
    assert sorted(p.name for p in tmp_path.glob("env_*")) == ["env_3.py", "env_4.py", "env_5.py"]
    assert len(list((tmp_path / "__pycache__").iterdir())) == 3
