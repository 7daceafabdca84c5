"""Rules on Python's layers and on the length of files and functions that linters cannot express.

Import directions between folders are import-linter contracts; module imports, docstrings and
complexity are ruff rules (both in pyproject.toml). Each check also runs on a bad example, so a
check that checks nothing fails.
"""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys

import pytest
from sources import CSRC, PACKAGE, PYTHON_FILES, ROOT, name_of, read

from fasttrpo.checks.distributions import DISTRIBUTIONS

pytestmark = pytest.mark.skipif(not CSRC.exists(), reason="the sources are not beside the tests")

DOOR_FILES = sorted(p for p in PACKAGE.rglob("*") if p.suffix in (".py", ".pyx", ".pxi"))
# The parts of fasttrpo that two folders may import from outside themselves.
MAY_IMPORT = {
    "portable": {"fasttrpo.checks.arrays", "fasttrpo.errors"},  # an independent implementation
    "envs": {  # usable without the rest; core holds their extension
        *("fasttrpo.checks.suggest", "fasttrpo.checks.values", "fasttrpo.errors"),
        *("fasttrpo.files.atomic", "fasttrpo.files.npz"),
        *("fasttrpo.core", "fasttrpo.core.source_tree", "fasttrpo"),
    },
}


def imports(source, package):
    """Absolute names of a module's imports. package: dotted name of the module's package."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def own_modules(names):
    """The modules of fasttrpo that these names are, or are defined in."""
    found = set()
    for name in names:
        parts = name.split(".")
        if parts[0] == "fasttrpo":
            at = [".".join(parts[:n]) for n in range(len(parts), 1, -1)]
            found |= {next((m for m in at if is_module(m)), "fasttrpo")}
    return found


def is_module(dotted):
    path = ROOT / dotted.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def from_outside(room, source, package):
    """Modules of fasttrpo outside `room` that a file of it imports without permission."""
    modules = own_modules(imports(source, package)) - MAY_IMPORT[room]
    return {m for m in modules if f"{m}.".removeprefix(f"fasttrpo.{room}.") == f"{m}."}


def test_portable_and_envs_import_nothing_else():
    for room in MAY_IMPORT:
        for path in sorted((PACKAGE / room).rglob("*.py")):
            package = ".".join(path.relative_to(ROOT).parts[:-1])
            assert not from_outside(room, read(path), package), name_of(path)


def test_outside_imports_are_detected():
    text = "from ..trpo import TRPO\nfrom . import rng\n\ndef f():\n    import numba\n"
    assert imports(text, "fasttrpo.portable") == {
        *("fasttrpo.trpo.TRPO", "fasttrpo.portable.rng", "numba")
    }
    assert from_outside("portable", text, "fasttrpo.portable") == {"fasttrpo.trpo"}
    assert from_outside("envs", "from .. import envs", "fasttrpo.envs") == set()
    assert from_outside("portable", "import fasttrpo.envs", "fasttrpo.portable") == {
        "fasttrpo.envs"
    }


def compared_strings(text):
    """String constants in the code's comparisons."""
    compared = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Compare)]
    inside = itertools.chain(*(ast.walk(n) for n in compared))
    return {n.value for n in inside if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def test_no_python_code_compares_distribution_names():
    """Differences between distributions belong in the entries of the tables."""
    for path in PACKAGE.rglob("*.py"):
        assert not compared_strings(read(path)) & set(DISTRIBUTIONS), name_of(path)
    assert compared_strings('x = 1 if s.distribution in ("gaussian", y) else 2') == {"gaussian"}


# Third-party packages, and slow parts of the standard library and NumPy that a model needs late if
# at all: to save, to report a wrong name, on the command line.
HEAVY = {"gymnasium", "mujoco", "numba", "tqdm", "torch", "scipy", "matplotlib"}
LATE = {"argparse", "difflib", "importlib.metadata", "multiprocessing", "numpy.random", "secrets"}
LATE |= {"tempfile", "zipfile"}


def modules_after(*lines):
    """Names of the modules that the last of these lines imports."""
    *first, last = lines
    code = ["import sys", *first, "before = set(sys.modules)", last]
    code = "\n".join([*code, "print(*sorted(set(sys.modules) - before))"])
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(out.stdout.split())


def test_import_loads_no_slow_modules():
    imported = modules_after("import fasttrpo")
    assert "fasttrpo" in imported
    assert not imported & {*HEAVY, "numpy"}
    imported = modules_after("import numpy", "from fasttrpo import TRPO, evaluate_policy")
    assert "fasttrpo.trpo" in imported
    assert not imported & (LATE | HEAVY)


def too_long(text):
    """What exceeds the limits in lines (ruff counts statements): "file", names of functions."""
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)]
    found = ["file"] if text.count("\n") > 500 else []
    return found + [f.name for f in functions if f.end_lineno - f.lineno >= 60]


def test_the_command_line_starts_without_numpy():
    """So that `--help` is quick and worker processes start before NumPy is imported."""
    assert "numpy" not in modules_after("import fasttrpo.cli")


def test_python_files_and_functions_are_short():
    long = {name_of(path): too_long(read(path)) for path in PYTHON_FILES}
    assert {name: what for name, what in long.items() if what} == {}
    assert too_long("x = 1\n" * 501) == ["file"]
    assert too_long("def f():\n" + "    x = 1\n" * 60) == ["f"]
    assert len(PYTHON_FILES) > 100


# Builtins with a counterpart in `fasttrpo.errors`; files that raise them say why here.
BUILTINS = {"ValueError", "TypeError", "ImportError", "RuntimeError", "FileNotFoundError"}
BUILTINS |= {"MemoryError"}
PLAIN_ALLOWED = {
    "fasttrpo/files/npz.py",  # callers add the file and its kind
    "fasttrpo/stream/workers.py",  # a process of the user's environment ended
    "fasttrpo/envs/python/interpreter.py",  # shown as an error of the user's function
}


def plain_errors(text):
    return set(re.findall(r"\braise (\w+)\b", text)) & BUILTINS


def test_errors_that_users_cause_are_user_errors():
    plain = {name_of(path) for path in DOOR_FILES if plain_errors(read(path))}
    assert plain <= PLAIN_ALLOWED
    assert plain_errors("raise ValueError(1)") == {"ValueError"}
