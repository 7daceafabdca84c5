"""fasttrpo.h and fasttrpo.c: what they compile to, and `fasttrpo embed`, which writes them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from agents import needs_extension
from c_objects import CC, CSRC, FLAGS, PRECISIONS, ROOT, compile_core, compile_pool, run
from test_c import ALLOWED, SANITIZED, command_in_header, symbols

from fasttrpo import cli, embed
from fasttrpo._version import __version__

pytestmark = pytest.mark.skipif(not CSRC.exists(), reason="the sources are not beside the tests")
needs_cc = pytest.mark.skipif(shutil.which(CC) is None, reason=f"there is no C compiler ({CC})")

TRAIN_BITS = ROOT / "tests/c/train_bits.c"
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
# One build for each compiler and option. Optimised by GNU's, which warn of more then.
BUILDS = {
    "gcc": ("float32", ["gcc", "-std=c99", "-O1"]),
    "g++": ("float32", ["g++", "-xc++", "-std=c++11", "-O2"]),
    "clang": ("float32", ["clang", "-std=c99", "-O0"]),
    "clang++": ("float32", ["clang++", "-xc++", "-std=c++11", "-O0"]),
    "double": ("float64", ["clang", "-O0", "-DTRPO_DOUBLE"]),
}
SMALL = ["-DTRPO_NO_SIMD", "-DTRPO_NO_POOL"]


@pytest.fixture(scope="session")
def two_files(tmp_path_factory):
    """The folder that csrc/amalgamate.py has written."""
    folder = tmp_path_factory.mktemp("two_files")
    run([sys.executable, str(CSRC / "amalgamate.py"), str(folder)])
    return folder


def compile_with(compiler, folder, program):
    """Compiles train_bits.c as the head of fasttrpo.c says, and returns the program."""
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"there is no {compiler[0]}")
    command = shlex.split(command_in_header(folder / "fasttrpo.c"))
    assert command[:3] == ["cc", "-O3", "my_simulator.c"]
    without = ["-pthread"] if "-DTRPO_NO_POOL" in compiler else []
    rest = [word for word in command[3:] if word not in without]
    flags = [*WARNINGS, "-DTWO_FILES", "-I."]
    run([*compiler, *flags, "-o", str(program), str(TRAIN_BITS), *rest], cwd=folder)
    return program


@pytest.fixture(scope="session")
def library_bits(tmp_path_factory):
    """The lines that train_bits prints with the library, by precision and instruction set."""
    folder = tmp_path_factory.mktemp("library")
    pool, lines = compile_pool(tmp_path_factory), {}
    for precision, flags in PRECISIONS.items():
        objects = [*compile_core(precision, tmp_path_factory), *pool]
        program = str(folder / precision)
        files = [str(TRAIN_BITS), *map(str, objects)]
        run([CC, *FLAGS, *flags, "-o", program, *files, "-lm", "-pthread"])
        lines[precision] = {"": run([program]), "baseline": run([program, "baseline"])}
        assert len(set(lines[precision][""].split())) == 2 * len(lines[precision][""].splitlines())
    return lines


@needs_cc
@pytest.mark.parametrize("build", BUILDS)
def test_two_files_compile_without_warnings_to_the_library_s_bits(
    build, two_files, library_bits, tmp_path
):
    precision, compiler = BUILDS[build]
    program = str(compile_with(compiler, two_files, tmp_path / "train"))
    assert run([program]) == library_bits[precision][""]
    assert run([program, "baseline"]) == library_bits[precision]["baseline"]


@needs_cc
@pytest.mark.skipif(SANITIZED, reason="sanitizers need their libraries")
def test_options_leave_out_vectors_threads_and_environments(two_files, library_bits, tmp_path):
    program = compile_with(["gcc", "-O0", *SMALL], two_files, tmp_path / "train")
    assert run([str(program)]) == library_bits["float32"]["baseline"]
    assert subprocess.run([str(program), "avx2"], check=False).returncode == 2
    least = tmp_path / "least.o"
    compiler = ["clang" if shutil.which("clang") else CC, "-O0", *SMALL, "-DTRPO_NO_ENVS"]
    run([*compiler, *WARNINGS, "-c", "-o", str(least), str(two_files / "fasttrpo.c")])
    assert symbols([least], "--undefined-only") <= ALLOWED
    defined = symbols([least], "--defined-only")
    assert "trpo_update" in defined
    assert not {"trpo_envs_init", "trpo_env_named", "trpo_pool_new"} & defined


BALL = """
#include "fasttrpo.h"

struct Ball {
    static constexpr const char *name = "Ball";
    static constexpr int obs_size = 1, n_actions = 1;
    double place;
    void reset(trpo::random &random) { place = random.uniform(-1, 1); }
    trpo::result step(const double *act) { place += act[0]; return {-place * place, false}; }
    void observe(double *obs) const { obs[0] = place; }
};

int main()
{
    const trpo_env *env = trpo::environment<Ball>();
    return trpo_env_bad_field(env) != nullptr || trpo_envs_bytes(env, 2) == 0;
}
"""


@needs_cc
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
def test_the_header_makes_environments_from_classes(two_files, tmp_path, tmp_path_factory):
    main, program = tmp_path / "ball.cpp", tmp_path / "ball"
    main.write_text(BALL)
    objects = [*map(str, compile_core("float32", tmp_path_factory))]
    compiler = ["g++", "-std=c++11", *FLAGS, *WARNINGS, f"-I{two_files}"]
    run([*compiler, "-o", str(program), str(main), *objects, "-lm"])
    run([str(program)])
    run([*compiler, "-DTRPO_STRICT_FILE", "-fsyntax-only", str(main)])  # as trpo_strict.h says


# What the extensions, in a process of this instruction set, print for the same training.
IN_PYTHON = """
from fasttrpo.core import _core32, _envs
from fasttrpo.settings.agent import AgentSettings
from fasttrpo.settings.critics import CRITICS

order = ("gauss_newton", "adam", "ridge", "kfac")
assert {*order} == {*CRITICS}
for i, name in enumerate(NAMES):
    envs = _envs.Envs(name, 6, seed=4)
    kind = envs.describe()
    settings = AgentSettings(
        obs_size=kind["obs_size"],
        distribution="categorical" if kind["choices"] else "gaussian",
        parts=tuple(kind["choices"] or (1,)),
        policy_hidden=(20, 9),
        value_hidden=(20, 9),
        n_envs=6,
        n_steps=96,
        normalize_observations=True,
        critic=order[i % 4],
        seed=4,
    )
    agent = _core32.Agent(settings)
    envs.reset()
    for _ in range(3):
        agent.collect(envs.capsule, 96, False)
        agent.update()
    bits = 14695981039346656037
    for byte in agent.save_bytes():
        bits = (bits ^ byte) * 1099511628211 % 2**64
    print(name, f"{bits:016x}")
"""


@needs_cc
@needs_extension
@pytest.mark.parametrize("instruction_set", ["", "baseline"])
def test_the_extensions_train_to_the_same_bits(instruction_set, library_bits):
    lines = library_bits["float32"][instruction_set]
    names = [line.split()[0] for line in lines.splitlines()]
    env = {key: value for key, value in os.environ.items() if key != "FASTTRPO_INSTRUCTION_SET"}
    if instruction_set:
        env["FASTTRPO_INSTRUCTION_SET"] = instruction_set
    assert run([sys.executable, "-c", f"NAMES = {names}{IN_PYTHON}"], env=env) == lines


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_fast_math_is_refused(compiler, two_files):
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    flags = ["-ffast-" + "math", "-ffinite-math-only"]
    if compiler == "gcc":  # clang does not tell the source of parts, but obeys its pragmas
        flags += ["-freciprocal-math", "-fno-signed-zeros", "-funsafe-" + "math-optimizations"]
    for flag in flags:
        command = [compiler, flag, "-fsyntax-only", "-Wfatal-errors", str(two_files / "fasttrpo.c")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert "fasttrpo: fast-math changes results" in done.stderr


def test_files_depend_on_the_sources_alone(two_files, tmp_path, monkeypatch):
    """And say what they are: version, licence."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["embed", "new/folder"]) == 0
    for name in embed.NAMES:
        text = (two_files / name).read_text(encoding="utf-8")
        assert Path("new/folder", name).read_text(encoding="utf-8") == text
        assert text.startswith(f"/* {name}: fasttrpo {__version__}, ")
        head = re.sub(r"^ \* ?", "", text[: text.index("*/")], flags=re.M)
        assert (ROOT / "LICENSE").read_text().strip() in head
        assert str(ROOT) not in text


def test_only_files_that_fasttrpo_made_are_replaced(two_files, tmp_path, capsys):
    for name in embed.NAMES:
        ours = (two_files / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(ours.replace(f" {__version__},", " 0.0.1,", 1))
    assert cli.main(["embed", str(tmp_path)]) == 0
    assert (tmp_path / "fasttrpo.h").read_bytes() == (two_files / "fasttrpo.h").read_bytes()
    (tmp_path / "fasttrpo.c").write_text("mine")
    (tmp_path / "fasttrpo.h").unlink()
    capsys.readouterr()
    assert cli.main(["embed", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"fasttrpo: {tmp_path / 'fasttrpo.c'} is not a file that fasttrpo made")
    assert "--force" in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["fasttrpo.c"]
    assert cli.main(["embed", str(tmp_path), "--force"]) == 0
    assert (tmp_path / "fasttrpo.c").read_bytes() == (two_files / "fasttrpo.c").read_bytes()


@pytest.mark.parametrize("folder", ["file", "file/folder"])
def test_a_folder_that_cannot_be_made_is_one_line(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("in the way")
    assert cli.main(["embed", folder]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"fasttrpo: cannot save {folder}: ")
    assert error.count("\n") == 1


def test_an_installation_has_the_files(two_files, tmp_path):
    """Built without extensions, from a copy of the sources; elsewhere than these."""
    pytest.importorskip("setuptools", minversion="77")
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    for name in ("fasttrpo", "csrc"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("*.so", "*.pyd"))
    env = os.environ | {"FASTTRPO_PORTABLE": "1", "FASTTRPO_BACKEND": "portable"}
    built = str(tmp_path / "built")
    run([sys.executable, "setup.py", "-q", "build_py", "--build-lib", built], cwd=clone, env=env)
    shutil.rmtree(clone)
    script = "from fasttrpo import embed; print(*embed.write(embed.Path('out')))"
    run([sys.executable, "-c", script], cwd=tmp_path, env=env | {"PYTHONPATH": built})
    for name in embed.NAMES:
        assert (tmp_path / "out" / name).read_bytes() == (two_files / name).read_bytes()
