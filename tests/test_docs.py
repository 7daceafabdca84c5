"""The documents' links lead to files and headings, and their examples run."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import shlex
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest
from tables import table

import fasttrpo

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted({*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/*.md")})
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
CODE = re.compile(r"^```.*?^```$|^    [^\n]*$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LONG = re.compile(r"\b(\d+)_000\b")
# Modules that an example needs besides fasttrpo: {a word in the example: the module}.
NEEDS = {
    "NumbaEnvironment": "numba",
    "mujoco": "mujoco",
    "fasttrpo.tuning": "optuna",
    "RecordVideo": "moviepy",
    "render_mode": "pygame",
    **{name: name for name in ("envpool", "mpe2", "optuna", "supersuit", "wandb")},
    "pybullet_envs_gymnasium": "pybullet_envs_gymnasium",
}
# Folders in which packages keep files: {an environment variable: a folder within the test's}.
FOLDERS = {
    **{f"WANDB_{name}_DIR": "wandb" for name in ("CACHE", "CONFIG", "DATA")},
    **{f"JUPYTER_{name}_DIR": "jupyter" for name in ("CONFIG", "DATA", "RUNTIME")},
    "IPYTHONDIR": "ipython",
}
# Docstrings whose first indented block is an example, with the setup it needs.
DOCSTRINGS = {
    "fasttrpo": "",
    "fasttrpo.trpo:TRPO": "from fasttrpo import TRPO; observation = [0.0] * 4",
    "fasttrpo.callbacks": (
        "from fasttrpo import TRPO; model = TRPO('MlpPolicy', 'CartPole-v1', n_steps=64)"
    ),
    "fasttrpo.settings.peers": "from fasttrpo import TRPO",
}


def name_of(path):
    return path.relative_to(ROOT).as_posix()


# -- links ----------------------------------------------------------------------------------------


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    slugs = [re.sub(r"[^\w\- ]", "", each).strip().lower() for each in HEADING.findall(text)]
    return [slug.replace(" ", "-") for slug in slugs]


def dead_links(path, text):
    """The relative links of a page that lead to no file, or to no heading of one."""
    dead = []
    for link in LINK.findall(CODE.sub("", text)):
        if link.startswith(("https://", "http://")):
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        if not target.exists() or (
            anchor and anchor not in anchors(target.read_text(encoding="utf-8"))
        ):
            dead.append(link)
    return dead


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(path):
    assert dead_links(path, path.read_text(encoding="utf-8")) == []


def test_dead_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A `b`, c\n\n```\n# no heading\n```\n")
    fine = "[1](page.md) [2](page.md#a-b-c) [3](https://x) `[4](x)`"
    assert dead_links(page, f"{fine} [5](x.md) [6](page.md#no-heading)") == [
        "x.md",
        "page.md#no-heading",
    ]


@pytest.mark.skipif(not DOCUMENTS, reason="the documents are not beside the tests")
def test_the_index_has_every_page():
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    for index, prefix in (("README.md", "docs/"), ("docs/README.md", "")):
        links = LINK.findall((ROOT / index).read_text(encoding="utf-8"))
        assert {page for page in pages if prefix + page not in links} == set(), index


# -- examples -------------------------------------------------------------------------------------

EXAMPLES = {
    f"{name_of(path)}-{number}": code
    for path in DOCUMENTS
    for number, code in enumerate(BLOCK.findall(path.read_text(encoding="utf-8")))
}


def short(code):
    """The code with a fiftieth of the steps."""
    return LONG.sub(lambda match: str(int(match[1]) * 20), code)


def python(folder, *arguments):
    """Run Python in the folder; fail with its errors."""
    environment = os.environ | {name: str(folder / each) for name, each in FOLDERS.items()}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def run(code, folder):
    """Run an example as a program, with a fiftieth of the steps."""
    for word, module in NEEDS.items():
        if word in code and find_spec(module) is None:
            pytest.skip(f"there is no {module}")
    (folder / "example.py").write_text(short(code), encoding="utf-8")
    python(folder, "example.py")


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_run(example, tmp_path):
    run(EXAMPLES[example], tmp_path)


COMMANDS = {
    name_of(path): blocks
    for path in DOCUMENTS
    if (blocks := SHELL.findall(path.read_text(encoding="utf-8")))
}


@pytest.mark.parametrize("page", COMMANDS)
def test_commands_run(page, tmp_path):
    """With a fiftieth of the steps and one seed."""
    for line in "".join(COMMANDS[page]).splitlines():
        program, *arguments = shlex.split(short(line).replace("--seeds 0-2", "--seeds 0"))
        python(tmp_path, "-m", program, *arguments)


@pytest.mark.skipif(not NOTEBOOK.exists(), reason="the documents are not beside the tests")
def test_the_notebook_runs(tmp_path, monkeypatch):
    for module in ("nbclient", "ipykernel", "matplotlib"):
        pytest.importorskip(module, reason=f"there is no {module}")
    import nbformat
    from nbclient import NotebookClient

    for name, each in FOLDERS.items():
        monkeypatch.setenv(name, str(tmp_path / each))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # as in Jupyter
    notebook = nbformat.read(NOTEBOOK, 4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs for cell in cells)  # what was stored would show paths, and age
    for cell in cells:
        cell.source = short(cell.source)
    # On a busy machine the outputs of a cell can arrive seconds after its end.
    limits = {"timeout": 300, "iopub_timeout": 60}
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}, **limits).execute()
    bar, plot, result = (str(cell.outputs) for cell in cells)
    assert "steps/s" in bar
    assert "image/png" in plot
    assert "return " in result


@pytest.mark.skipif(not DOCUMENTS, reason="the documents are not beside the tests")
def test_there_are_examples():
    assert len(EXAMPLES) > 8


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
