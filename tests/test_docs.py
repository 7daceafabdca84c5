"""The documents' links lead to files, and their examples run."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest
from tables import table

import fasttrpo

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCUMENTS = [p for p in (README, *ROOT.glob("*/README.md")) if p.exists()]
LINK = re.compile(r"\]\((?!https?:|#)([^)\s#]+)")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LONG = re.compile(r"\b(\d+)_000\b")
# Modules that an example needs besides fasttrpo: {a word in the example: the module}.
NEEDS = {"NumbaEnvironment": "numba", "mujoco": "mujoco"}
# Docstrings whose first indented block is an example, with the setup it needs.
DOCSTRINGS = {
    "fasttrpo": "",
    "fasttrpo.trpo:TRPO": "from fasttrpo import TRPO; observation = [0.0] * 4",
    "fasttrpo.callbacks": (
        "from fasttrpo import TRPO; model = TRPO('MlpPolicy', 'CartPole-v1', n_steps=64)"
    ),
    "fasttrpo.settings.peers": "from fasttrpo import TRPO",
}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_to_files(path):
    links = LINK.findall(path.read_text(encoding="utf-8"))
    assert not [link for link in links if not (path.parent / link).exists()]


def test_links_are_found():
    assert LINK.findall("[a](b/c.md#d), [e](https://f), [g](#h)") == ["b/c.md"]


def blocks():
    return BLOCK.findall(README.read_text(encoding="utf-8")) if README.exists() else []


def run(code, folder):
    """Run an example as a program, with a fiftieth of the steps."""
    for word, module in NEEDS.items():
        if word in code and find_spec(module) is None:
            pytest.skip(f"there is no {module}")
    short = LONG.sub(lambda match: str(int(match[1]) * 20), code)
    (folder / "example.py").write_text(short, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("number", range(len(blocks())))
def test_examples_of_the_readme_run(number, tmp_path):
    run(blocks()[number], tmp_path)


def test_there_are_examples():
    assert not README.exists() or len(blocks()) > 3


def example_of(name):
    """The first indented block of a docstring."""
    module, _, member = name.partition(":")
    found = importlib.import_module(module)
    text = inspect.getdoc(getattr(found, member) if member else found)
    lines = text.splitlines()[1:]
    first = next(i for i, line in enumerate(lines) if line.startswith("    "))
    last = next(
        (i for i in range(first, len(lines)) if lines[i] and not lines[i].startswith("    ")),
        len(lines),
    )
    return textwrap.dedent("\n".join(lines[first:last]))


@pytest.mark.parametrize("name", DOCSTRINGS)
def test_examples_in_docstrings_run(name, tmp_path):
    if name == "fasttrpo.settings.peers":
        pytest.importorskip("mujoco")  # the example's Hopper
    run(f"{DOCSTRINGS[name]}\n{example_of(name)}", tmp_path)


def test_the_package_has_a_py_typed_marker():
    assert (Path(fasttrpo.__file__).parent / "py.typed").exists()


# -- docstrings of public names --------------------------------------------------------------------


def public():
    """Public names, and the public methods of public classes."""
    found = {name: getattr(fasttrpo, name) for name in fasttrpo.__all__ if name[0] != "_"}
    for name, value in list(found.items()):
        if inspect.isclass(value):
            members = inspect.getmembers(value, callable)
            found |= {
                f"{name}.{key}": member
                for key, member in members
                if key[0] != "_" and getattr(member, "__module__", "").startswith("fasttrpo")
            }
    return found


@table("name", public())
def test_public_names_have_docstrings(name):
    assert (inspect.getdoc(public()[name]) or "").strip()
