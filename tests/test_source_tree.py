"""Python started in a clone uses an installation's extensions, or says what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from agents import needs_extension

from fasttrpo import _version
from fasttrpo.core import source_tree

ROOT = Path(__file__).parents[1]
NOT_BUILT = shutil.ignore_patterns(
    "*.so", "*.pyd", "__pycache__", "_core*.c", "_envs.c", source_tree.RECORD
)

pytestmark = pytest.mark.skipif(
    not (ROOT / "setup.py").exists(), reason="setup.py is not beside the tests"
)


@pytest.fixture
def clone(tmp_path):
    """The sources as in git, plus a line that no installation was built from."""
    folder = tmp_path / "clone"
    for name in ("fasttrpo", "csrc"):
        shutil.copytree(ROOT / name, folder / name, ignore=NOT_BUILT)
    shutil.copy(ROOT / "setup.py", folder)
    with open(folder / "csrc" / "core" / "update.c", "a") as file:
        file.write("/* added by a test */\n")
    return folder


@pytest.fixture
def installed(tmp_path, clone):
    """What `pip install clone` installs, without compiling again."""
    site = tmp_path / "site"
    shutil.copytree(clone / "fasttrpo", site / "fasttrpo")
    from fasttrpo import core

    for folder in map(Path, core.__path__):
        for path in folder.glob("_*"):
            if path.name.endswith(tuple(EXTENSION_SUFFIXES)):
                (site / "fasttrpo" / "core" / path.name).symlink_to(path)
    record = site / "fasttrpo" / "core" / source_tree.RECORD
    record.write_text(source_tree.fingerprint(clone))
    return site


def python(folder, *arguments, path="", **variables):
    """Runs Python in the folder, without compiling; returns (standard output, standard error)."""
    env = {name: value for name, value in os.environ.items() if name != "FASTTRPO_BACKEND"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=env | {"PYTHONPATH": str(path), "FASTTRPO_NUMBA": "0"} | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


PROGRAM = (
    "import fasttrpo; from fasttrpo import TRPO; from fasttrpo.core import backend\n"
    "from fasttrpo.envs import classic\n"
    "for seed in range(2): TRPO('MlpPolicy', 'CartPole-v1', n_steps=8, seed=seed)\n"
    "print(fasttrpo.__file__, backend.choose(), classic.has_extension())"
)


@needs_extension
def test_a_source_tree_uses_extensions_built_from_it(clone, installed):
    (clone / "fasttrpo" / "_version.py").write_text("__version__ = '9.9'\n")  # changes no C
    out, err = python(clone, "-W", "error", "-c", PROGRAM, path=installed)
    assert (out.split(), err) == ([str(clone / "fasttrpo/__init__.py"), "compiled", "True"], "")
    out, err = python(clone, "-m", "fasttrpo", "info", path=installed)
    lines = [line.split() for line in out.splitlines()]
    assert lines[:2] == [["version:", "9.9"], ["backend:", "compiled"]]
    assert _version.__version__ != "9.9"


@needs_extension
def test_extensions_of_other_sources_are_rejected(clone, installed):
    path = clone / "csrc" / "core" / "update.c"
    path.write_text(path.read_text() + "\n/* changed */\n")
    out, err = python(clone, "-c", PROGRAM, path=installed)
    assert out.split()[1:] == ["portable", "False"]
    assert f"(those in {installed / 'fasttrpo' / 'core'} were built from other sources)" in err
    (installed / "fasttrpo" / "core" / source_tree.RECORD).unlink()
    assert "were built from other sources" in python(clone, "-c", PROGRAM, path=installed)[1]


def test_a_tree_without_extensions_warns_once(clone):
    out, err = python(clone, "-W", "always", "-c", PROGRAM)
    assert out.split()[1:] == ["portable", "False"]
    assert err.count("Warning") == 1
    assert err.startswith("<string>:1: RuntimeWarning")  # the user's own import
    assert f"source tree, {clone}, which has no" in err
    assert f"pip install -e {clone}" in err
    assert "the compiled core is missing" not in err
    _, err = python(clone, "-c", PROGRAM, FASTTRPO_BACKEND="portable")
    assert "is imported from its source tree" not in err


@pytest.mark.parametrize(
    "code",
    [
        "import fasttrpo.envs.compiled",
        "from fasttrpo.core import backend; backend.choose('compiled')",
    ],
)
def test_missing_extensions_are_reported_with_the_same_remedy(code, clone):
    tried = f"try:\n    {code}\nexcept ImportError as error: print(error)"
    out, _ = python(clone, "-W", "ignore", "-c", tried)
    assert f"source tree that is imported: pip install -e {clone}" in out


def test_the_fingerprint_depends_only_on_compiled_sources(clone):
    first = source_tree.fingerprint(clone)
    (clone / "fasttrpo" / "core" / "_core32.c").write_text("generated")
    (clone / "fasttrpo" / "trpo.py").write_text("")
    assert source_tree.fingerprint(clone) == first
    path = clone / "csrc" / "kernels" / "wide_simd.h"
    path.write_text(path.read_text() + " ")
    assert source_tree.fingerprint(clone) != first
