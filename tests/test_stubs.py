"""The extensions' type stubs (.pyi) list their names and parameters."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import fasttrpo

CORE = "fasttrpo.core._core32"


def names_in_stub(name):
    """{dotted name: parameters, or None for a class or an attribute}."""
    path = Path(fasttrpo.__file__).parent / f"core/{name.rpartition('.')[2]}.pyi"
    return _named(ast.parse(path.read_text()).body)


def _named(body, prefix=""):
    found = {}
    for node in body:
        if isinstance(node, ast.ClassDef):
            found |= {node.name: None} | _named(node.body, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            is_property = node.decorator_list != []
            arguments = [each.arg for each in (*node.args.args, *node.args.kwonlyargs)]
            found[prefix + node.name] = None if is_property else arguments
        elif isinstance(node, ast.AnnAssign):
            found[prefix + node.target.id] = None
        elif isinstance(node, ast.ImportFrom) and node.module == CORE:
            whole = names_in_stub(CORE)
            names = [alias.asname for alias in node.names]
            found |= {k: v for k, v in whole.items() if k.partition(".")[0] in names}
    return {each: value for each, value in found.items() if not _is_private(each)}


def names_in_extension(owner, module, prefix=""):
    """The same for the extension itself."""
    found = {}
    for name, value in vars(owner).items():
        if inspect.isclass(value) and value.__module__ == module:
            found |= {name: None} | names_in_extension(value, module, f"{name}.")
        elif type(value).__name__ == "cython_function_or_method":
            found[prefix + name] = list(inspect.signature(value).parameters)
        elif inspect.isdatadescriptor(value) or (name.isupper() and not prefix):
            found[prefix + name] = None
    return {each: value for each, value in found.items() if not _is_private(each)}


def _is_private(name):
    return any(part.startswith("_") for part in name.split("."))


@pytest.mark.parametrize("name", [CORE, "fasttrpo.core._core64", "fasttrpo.core._envs"])
def test_a_stub_matches_its_extension(name):
    actual = names_in_extension(pytest.importorskip(name), name)
    actual.pop("RESERVED", None)  # from fasttrpo.envs.names
    assert names_in_stub(name) == actual
    assert {"Agent.act", "line_search"} <= set(actual) or "Envs.step" in actual
