"""Type checkers see lazily imported names with their types, not as Any."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

LAZY = ["fasttrpo", "fasttrpo.envs", "fasttrpo.envs.mujoco"]


def visible_names(body):
    """The names a type checker finds in a module, for which TYPE_CHECKING is true."""
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from visible_names(node.body)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from map(ast.unparse, node.targets)
        elif isinstance(node, ast.AnnAssign):
            yield ast.unparse(node.target)


@pytest.mark.parametrize("name", LAZY)
def test_a_type_checker_finds_exactly_the_public_names(name):
    module = importlib.import_module(name)
    names = set(visible_names(ast.parse(Path(module.__file__).read_text()).body))
    assert set(module.__all__) | set(getattr(module, "TASKS", ())) <= names
    assert "__getattr__" not in names  # would make any name valid, with type Any


@pytest.mark.slow
def test_a_user_script_type_checks_without_any(request):
    api = pytest.importorskip("mypy.api")
    cache = request.config.cache.mkdir("mypy")  # the first run takes a minute, others a second
    options = ["--strict", "--follow-imports=silent", "--cache-dir", str(cache)]
    out, errors, status = api.run([*options, str(Path(__file__).with_name("user_types.py"))])
    assert (status, errors) == (0, ""), out
