"""The C++ headers, trpo_env.hpp and trpo.hpp, and the example that uses them."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest
from c_objects import CC, CSRC, ROOT, compile_core, run

CRANE = CSRC / "examples/crane.cpp"
HOOKS = ROOT / "tests/cpp/test_env_hpp.cpp"
COMPILERS = ["g++", "clang++"]
STRICT = ["-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
GXX = ["g++", "-std=c++11", "-O1", f"-I{CSRC}/include"]

pytestmark = [
    pytest.mark.skipif(not CSRC.exists(), reason="the sources are not beside the tests"),
    *(
        pytest.mark.skipif(shutil.which(tool) is None, reason=f"there is no {tool}")
        for tool in (CC, "g++")
    ),
]


@pytest.fixture(scope="session")
def core(tmp_path_factory) -> list[str]:
    return list(map(str, compile_core("float32", tmp_path_factory)))


@pytest.mark.parametrize("compiler", COMPILERS)
def test_headers_compile_without_warnings(compiler):
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    run([compiler, *STRICT, "-fsyntax-only", str(HOOKS)])
    run([compiler, *STRICT, "-fsyntax-only", str(CRANE)])


def test_calls_and_exceptions_pass_between_class_and_library(core, tmp_path):
    run([*GXX, "-o", str(tmp_path / "hooks"), str(HOOKS), *core, "-lm"])
    run([str(tmp_path / "hooks")])


# ---- mistakes ------------------------------------------------------------------------------------

# A complete class, and a line that replaces one of it: the compiler's message.
CLASS = """
static constexpr const char *name = "A";
static constexpr int obs_size = 1;
static constexpr int n_actions = 1;
static int choices(int) { return 2; }
void reset(trpo::random &) {}
trpo::result step(const double *act) { return 1; }
void observe(double *obs) const { obs[0] = 0; }
void mask(uint8_t *mask) const { mask[0] = mask[1] = 1; }
"""
MISTAKES = {
    "static constexpr int obs_size = 1;": ("", "needs a public constant: static constexpr int obs"),
    "static constexpr int n_actions = 1;": (
        "static double *n_actions;",
        "constant: static constexpr int n_a",
    ),
    "static int choices(int) { return 2; }": ("", "mask requires choices"),
    "void reset(trpo::random &) {}": ("void reset(int) {}", "needs a public function: void reset("),
    "trpo::result step(const double *act) { return 1; }": (
        "bool step(const double *act) { return act[0] > 0; }",
        "needs a public function: trpo::result step(const double *act, trpo::random &random)",
    ),
    "void observe(double *obs) const { obs[0] = 0; }": (
        "void observe(double *obs) { obs[0] = 0; }",
        "needs a public const function: void observe(double *obs) const",
    ),
    "void mask(uint8_t *mask) const { mask[0] = mask[1] = 1; }": (
        "void mask(float *) const {}",
        "mask must be a public const function: void mask(uint8_t *mask) const",
    ),
    'static constexpr const char *name = "A";': (
        'static constexpr const char *name = "A"; private: void close(); public:',
        "close must be a public function: void close()",
    ),
}


def test_mistakes_in_a_class_are_named_by_the_compiler(tmp_path):
    """One file with a class for each mistake, and a correct one."""
    bodies = [CLASS, *(CLASS.replace(right, wrong) for right, (wrong, _) in MISTAKES.items())]
    source = tmp_path / "mistakes.cpp"
    source.write_text(
        '#include "trpo_env.hpp"\n'
        + "".join(f"struct S{i} {{{body}}};\n" for i, body in enumerate(bodies))
        + "".join(f"template struct trpo::detail::checked<S{i}>;\n" for i in range(len(bodies)))
    )
    command = [*GXX, "-fsyntax-only", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    errors = re.findall(r"static assertion failed: trpo::environment: (.*)", done.stderr)
    assert len(errors) == len(MISTAKES), done.stderr
    for error, (_, expected) in zip(errors, MISTAKES.values(), strict=True):
        assert expected in error


def test_a_class_compiles_without_exceptions(tmp_path):
    source = tmp_path / "plain.cpp"
    source.write_text(f'#include "trpo_env.hpp"\nstruct S {{{CLASS}}};\nTRPO_ENVIRONMENT(S)\n')
    run([*GXX, "-fno-exceptions", "-fsyntax-only", str(source)])


# ---- the example ---------------------------------------------------------------------------------


def commands() -> list[str]:
    """The compile commands in the example's first comment: the program's, the library's."""
    return re.findall(r"^ \*\s+(c\+\+ .*)$", CRANE.read_text().replace("\\\n *", ""), re.MULTILINE)


def test_the_example_learns(core, tmp_path):
    """Compiled with its command, but for the sources, which are compiled already."""
    command = re.sub(r"csrc/\w+/\[a-z\]\*\.c", "", commands()[0]) + " " + " ".join(core)
    (tmp_path / "csrc").symlink_to(CSRC, target_is_directory=True)
    run(["sh", "-ec", command + " -lm"], cwd=tmp_path)
    assert run([str(tmp_path / "crane")]).splitlines()[-1].startswith("learnt: mean return 1")


@pytest.fixture
def compiled():
    pytest.importorskip("fasttrpo.core._envs", reason="there are no compiled environments")
    from fasttrpo.envs import CompiledVectorEnv

    return CompiledVectorEnv


def test_python_trains_in_the_example_s_library(compiled, tmp_path, monkeypatch):
    from fasttrpo import cli

    (tmp_path / "csrc").symlink_to(CSRC, target_is_directory=True)
    run(["sh", "-ec", commands()[1] + " -fvisibility=hidden"], cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    short = ["--total-timesteps", "2000", "--n-envs", "4", "--n-steps", "100", "--out", "run"]
    assert cli.main(["train", "./crane.so", *short]) == 0


def library(folder, name, body) -> str:
    """A library whose class has the same name as in the others, and this body of `step`."""
    source = folder / f"{name}.cpp"
    source.write_text(
        '#include "trpo_env.hpp"\n#include <stdexcept>\n'
        f"struct S {{{CLASS.replace('return 1;', body)}}};\nTRPO_ENVIRONMENT(S)\n"
    )
    run([*GXX, "-shared", "-fPIC", "-o", str(folder / f"{name}.so"), str(source)])
    return str(folder / f"{name}.so")


def test_libraries_with_classes_of_one_name_do_not_mix(compiled, tmp_path):
    """The loader would merge static variables of visible inline functions."""
    paths = [library(tmp_path, f"lib{i}", f"return {i};") for i in (1, 2)]
    envs = [compiled(path, num_envs=1) for path in paths]
    for env in envs:
        env.reset(seed=0)
    assert [env.step(np.zeros(1, np.int64))[1].item() for env in envs] == [1, 2]


def test_an_exception_is_an_error_of_its_environment_in_python(compiled, tmp_path):
    from fasttrpo.envs import SimulationError

    body = 'if (act[0] == 1) throw std::runtime_error("no fuel"); return 1;'
    env = compiled(library(tmp_path, "throws", body), num_envs=3)
    env.reset(seed=0)
    with pytest.raises(SimulationError, match=r"error -1 \(no fuel\) in environment 1 at step 1"):
        env.step(np.array([0, 1, 0]))
    env.reset(options={"reset_mask": np.array([False, True, False])})
    env.step(np.zeros(3, np.int64))


def test_an_exception_of_a_static_function_is_the_reason_for_no_environment(tmp_path):
    from fasttrpo.envs.shared_library import Library

    body = 'return 1; } static double reward_threshold() { throw std::runtime_error("no model");'
    with pytest.raises(ValueError, match=r"trpo_environment\(\) returned NULL \(no model\)"):
        Library(library(tmp_path, "none", body))
