"""The C core on its own: its C tests, its example, and a proof that the tests can fail.

Everything is compiled with plain `cc`, in temporary folders. Environment variables:

    CC                 another compiler
    FASTTRPO_CFLAGS    flags added to every compilation and link, for example sanitizers
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
CORE = sorted([*CSRC.glob("core/*.c"), *CSRC.glob("kernels/*.c"), *CSRC.glob("envs/*.c")])
SIMULATOR = CSRC / "examples/balance_env.c"
EXAMPLE = CSRC / "examples/embed_cartpole.c"
TESTS = sorted(ROOT.glob("tests/c/test_*.c"))

CC = os.environ.get("CC", "cc")
FLAGS = ["-O2", *shlex.split(os.environ.get("FASTTRPO_CFLAGS", ""))]
PRECISIONS = {"float32": [], "float64": ["-DTRPO_DOUBLE"]}

pytestmark = pytest.mark.skipif(shutil.which(CC) is None, reason=f"there is no C compiler ({CC})")

# One sign each, in a derivative, a product or a recursion: (file, as it is, as it must not be).
MISTAKES = {
    "gradient": ("core/gradient.c", "grad[i] /= batch->N;", "grad[i] /= -batch->N;"),
    "Gaussian mean": ("kernels/gaussian.c", "dout[at] = w[n]", "dout[at] = -w[n]"),
    "Gaussian log_std": ("kernels/gaussian.c", "dl += w[n]", "dl -= w[n]"),
    "categorical": ("kernels/categorical.c", "dout[k] = w[n]", "dout[k] = -w[n]"),
    "metric": ("kernels/categorical.c", "(tout[k] - mean)", "(tout[k] + mean)"),
    "conjugate gradient": ("core/cg.c", "trpok_axpy(r, -alpha", "trpok_axpy(r, alpha"),
    "bootstrap": ("kernels/gae.c", "rew[n] + gamma * next", "rew[n] - gamma * next"),
}


def run(command: list[str], **keywords) -> str:
    """What the command prints. Ending with anything but 0 is a failure that shows all of it."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **keywords)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def compile_objects(sources: list[Path], folder: Path, precision: str) -> list[Path]:
    """The sources' object files, in the folder."""
    run([CC, *FLAGS, *PRECISIONS[precision], "-c", *map(str, sources)], cwd=folder)
    return [folder / f"{source.stem}.o" for source in sources]


def link(program: Path, main: Path, objects: list[Path], precision: str) -> Path:
    """The program of one main file, source or object, and the core's objects."""
    flags = [*FLAGS, *PRECISIONS[precision]]
    run([CC, *flags, "-o", str(program), str(main), *map(str, objects), "-lm"])
    return program


@pytest.fixture(scope="session", params=PRECISIONS)
def precision(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def core(precision, tmp_path_factory) -> list[Path]:
    """The core's objects in one precision, compiled once."""
    return compile_objects(CORE, tmp_path_factory.mktemp(precision), precision)


@pytest.mark.parametrize("test", TESTS, ids=lambda path: path.stem)
def test_c_test_passes(test, core, precision, tmp_path):
    run([str(link(tmp_path / test.stem, test, core, precision))])


def test_there_are_c_tests():
    assert len(TESTS) >= 5
    assert len(CORE) >= 20


def test_example_solves_its_cartpole(core, precision, tmp_path):
    program = link(tmp_path / "embed_cartpole", EXAMPLE, core, precision)
    last_line = run([str(program), "0"]).splitlines()[-1]
    assert last_line.startswith("solved")


def command_in_header(source: Path) -> str:
    """The compile command in a C file's first comment."""
    command = re.search(r"^ \*\s+(cc .*)$", source.read_text(), re.MULTILINE)
    assert command, f"{source.name} does not say how it is compiled"
    return command[1]


def test_examples_compile_as_their_headers_say(tmp_path):
    """In a folder that holds nothing but csrc, so that nothing is left in the sources."""
    (tmp_path / "csrc").symlink_to(CSRC, target_is_directory=True)
    for example, product in ((EXAMPLE, "embed"), (SIMULATOR, "balance_env.so")):
        run(["sh", "-ec", command_in_header(example)], cwd=tmp_path)
        assert os.access(tmp_path / product, os.X_OK)


def test_files_of_c_have_names_of_their_own():
    """Whoever compiles them into one folder would lose one of two objects of a name."""
    assert len({path.stem for path in CORE}) == len(CORE)


def flip_sign(csrc: Path, mistake: str) -> Path:
    """Makes the mistake in a copy of the sources; returns the file it is in."""
    name, right, wrong = MISTAKES[mistake]
    file = csrc / name
    text = file.read_text()
    assert text.count(right) == 1, f"{name} has no single {right!r} any more: choose another sign"
    file.write_text(text.replace(right, wrong))
    return file


@pytest.fixture(scope="session")
def update_test(precision, tmp_path_factory) -> Path:
    """test_update.c compiled, to be linked with many a core."""
    folder = tmp_path_factory.mktemp("update_test")
    return compile_objects([ROOT / "tests/c/test_update.c"], folder, precision)[0]


@pytest.mark.parametrize("precision", ["float32"], indirect=True)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_sign_is_noticed(mistake, core, update_test, precision, tmp_path):
    """The tests are worth their name: with one sign of the core flipped, test_update.c fails."""
    csrc = tmp_path / "csrc"
    shutil.copytree(CSRC, csrc)
    wrong = compile_objects([flip_sign(csrc, mistake)], tmp_path, precision)
    right = [each for each in core if each.name != wrong[0].name]
    program = link(tmp_path / "test_update", update_test, right + wrong, precision)
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "not so:" in done.stdout
