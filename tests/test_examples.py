"""The examples in C and C++ learn, saved simulations continue bit for bit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from c_objects import CC, CSRC, FLAGS, run
from examples import CXX, EXAMPLES, build, compile_library

pytestmark = pytest.mark.skipif(shutil.which(CC) is None, reason=f"there is no C compiler ({CC})")


def compiles(code: str) -> bool:
    command = [CXX, "-x", "c++", "-fsyntax-only", "-"]
    return subprocess.run(command, input=code, text=True, capture_output=True).returncode == 0


needs_box2d = pytest.mark.skipif(
    shutil.which(CXX) is None or not compiles("#include <box2d/box2d.h>\nb2World *world;"),
    reason="there is no C++ compiler, or no Box2D 2.4 (libbox2d-dev)",
)


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> dict[str, Path]:
    return compile_library(tmp_path_factory)


def test_the_double_integrator_is_learnt_saved_and_continued(library, tmp_path):
    program = build("double_integrator.c", library, tmp_path)
    lines = run([str(program), "0"], cwd=tmp_path).splitlines()
    assert lines[-1].startswith("learnt: ")
    assert lines[-1].endswith("the continuation has the same bits")


@needs_box2d
def test_the_cart_in_box2d_is_learnt(library, tmp_path):
    program = build("box2d_cart.cpp", library, tmp_path)
    assert run([str(program), "0"]).splitlines()[-1] == "learnt"


# Steps two batches of carts alike, one of them from what the other saved after 100 steps.
CONTINUATION = """
#define main example_main
#include "csrc/examples/box2d_cart.cpp"
#undef main

enum { E = 4 };

static trpo_envs *made(std::vector<char> &memory)
{
    trpo_envs *envs;
    memory.resize(trpo_envs_bytes(trpo::environment<Cart>(), E));
    const int status = trpo_envs_init(&envs, trpo::environment<Cart>(), E, 3, memory.data(),
                                      memory.size());
    return status == TRPO_ENV_OK ? envs : nullptr;
}

static void steps(trpo_envs *envs, int first, int n)
{
    for (int t = first; t < first + n; t++) {
        double act[E];
        for (int e = 0; e < E; e++) act[e] = std::sin(0.3 * t + e);
        trpo_envs_step(envs, act, TRPO_ENV_SAME_STEP, 0, E, nullptr);
    }
}

static std::vector<char> saved(const trpo_envs *envs)
{
    std::vector<char> bytes(trpo_envs_save_bytes(envs));
    if (trpo_envs_save(envs, bytes.data(), bytes.size()) != TRPO_ENV_OK) bytes.clear();
    return bytes;
}

int main()
{
    std::vector<char> memory, other_memory;
    trpo_envs *whole = made(memory), *resumed = made(other_memory);
    trpo_envs_reset(whole, nullptr, nullptr);
    steps(whole, 0, 100);
    const std::vector<char> bytes = saved(whole);
    if (bytes.empty()) return 2;
    if (trpo_envs_load(resumed, bytes.data(), bytes.size()) != TRPO_ENV_OK) return 3;
    steps(whole, 100, 300);
    steps(resumed, 100, 300);
    const bool same = saved(whole) == saved(resumed) && saved(whole) != bytes;
    trpo_envs_close(whole);
    trpo_envs_close(resumed);
    return same ? 0 : 1;
}
"""


@needs_box2d
def test_saved_carts_in_box2d_continue_bit_for_bit(library, tmp_path):
    source, program = tmp_path / "continuation.cpp", tmp_path / "continuation"
    source.write_text(CONTINUATION)
    objects = map(str, library.values())
    flags = [*FLAGS, f"-I{CSRC.parent}"]
    run([CXX, *flags, "-o", str(program), str(source), *objects, "-lbox2d", "-lm", "-lpthread"])
    run([str(program)])


def test_examples_are_named_in_the_guide():
    """With what compiles them."""
    guide = (CSRC / "README.md").read_text()
    names = [path.name for path in EXAMPLES.glob("*.c*")]
    assert len(names) >= 5
    assert [name for name in names if name not in guide] == []
