"""The arrows between Python's layers, and the limits that keep files and functions readable.

Read from the sources themselves: imports, lengths. Each check is tried on a bad example too, so
that a check that checks nothing fails.
"""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from sources import CSRC, PACKAGE, PYTHON_FILES, ROOT, name_of, read

pytestmark = pytest.mark.skipif(not CSRC.exists(), reason="the sources are not beside the tests")

# Third parties that `import fasttrpo` must not import, nor anything at module level but where said.
HEAVY = {"gymnasium", "mujoco", "numba", "tqdm", "torch", "scipy", "matplotlib"}
HEAVY_ALLOWED = {
    "fasttrpo/portable/jit.py": {"numba"},
    "fasttrpo/envs/mujoco/batch_env.py": {"gymnasium"},  # it defines a VectorEnv
    "fasttrpo/envs/compiled.py": {"gymnasium"},
    "fasttrpo/sb3/env.py": {"gymnasium"},
    "fasttrpo/in_turn.py": {"gymnasium"},
    "fasttrpo/envs/python/jit.py": {"numba"},  # imported where something is to be compiled
    "fasttrpo/envs/python/numba_types.py": {"numba"},
}
FOR_PORTABLE = {"fasttrpo.checks"}


def imports(source, package, top_level=False):
    """Absolute names of what a module imports. package: the one that it lives in, dotted."""
    tree, found = ast.parse(source), set()
    nodes = tree.body if top_level else ast.walk(tree)
    if top_level:  # and what stands in a try or an if there
        nodes = [n for top in nodes for n in ([top] if is_import(top) else inner(top))]
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {name for name in from_names(node, package)}
    return found


def is_import(node):
    return isinstance(node, ast.Import | ast.ImportFrom)


def inner(node):
    kinds = ast.If | ast.Try | ast.With
    return [n for n in ast.walk(node) if is_import(n)] if isinstance(node, kinds) else []


def from_names(node, package):
    base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    module = ".".join([*base, *([node.module] if node.module else [])])
    return {f"{module}.{alias.name}" for alias in node.names}


def own(names):
    """Which modules of fasttrpo these names are, or are in."""
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


def package_of(path):
    return ".".join(path.relative_to(ROOT).parts[:-1])


@pytest.mark.parametrize("path", sorted((PACKAGE / "portable").glob("*.py")), ids=name_of)
def test_the_twin_stands_alone(path):
    """An independent implementation: of fasttrpo it knows checks, else itself."""
    modules = own(imports(read(path), "fasttrpo.portable"))
    outside = {m for m in modules if not m.startswith("fasttrpo.portable")}
    assert outside <= FOR_PORTABLE


def twin_graph():
    files = (PACKAGE / "portable").glob("*.py")
    return {
        p.stem: {m.split(".")[-1] for m in own(imports(read(p), "fasttrpo.portable"))} - {p.stem}
        for p in files
    }


def test_the_twin_s_imports_point_one_way():
    """agent -> update -> stages -> network, distributions, rng: no module imports one above it."""
    graph, done = twin_graph(), set()
    graph.pop("__init__")
    graph = {name: needs & set(graph) for name, needs in graph.items()}
    while set(graph) - done:
        ready = {name for name in graph if graph[name] <= done} - done
        assert ready, f"a circle among {sorted(set(graph) - done)}"
        done |= ready
    assert "update" in graph["agent"]
    for stage in ("gradient", "fisher", "cg", "line_search", "critic", "advantages"):
        assert not graph[stage] & {"agent", "update"}


# Python's own layers, the user's end first: a module imports from later ones only.
LAYERS = (
    {"__main__", "cli"},
    {"selftest", "report", "callbacks"},
    {"eval_callback"},
    {"trpo", "evaluate"},
    {"learning"},
    {"watch", "progress_bar"},
    {"collect", "logger", "callback_base"},
    {"kernels", "environments", "checkpoint", "rollout", "writers", "presets"},
    {"summaries"},
    {"sb3"},
    {"backend", "envs", "masks", "in_turn"},
    {"spaces"},
    {"settings", "checks"},
    {"envs"},
    {"amid", "answers", "infos"},
    {
        *("values", "suggest", "files", "npz", "notes", "run_files", "step", "_version"),
        *("ownership", "seeds", "workers", "media", "pictures", "source_tree", "rejections"),
    },
    {"printable"},
)


@pytest.mark.parametrize("path", sorted((PACKAGE / "envs").rglob("*.py")), ids=name_of)
def test_environments_stand_alone(path):
    """Other libraries use them: of fasttrpo they check, suggest, read and write files."""
    modules = own(imports(read(path), package_of(path)))
    outside = {m for m in modules if not m.startswith("fasttrpo.envs")}
    known = {"fasttrpo.suggest", "fasttrpo.values", "fasttrpo.files", "fasttrpo.npz"}
    assert outside <= {*known, "fasttrpo.source_tree", "fasttrpo"}  # its extension _envs


# Within a room: whom its files import there, the user's end first.
ROOMS = {
    "cli": (
        {"__init__"},
        {"train"},
        {"seeds"},
        {"resume"},
        {"training"},
        {"report"},
        {"eval", "info", "selftest", "plot"},
        {"worker"},
        {"consent", "pool"},
        {"runs", "arguments", "logs"},
        {"errors", "streams"},
    ),
    "settings": (
        {"sizes", "reference"},
        {"__init__", "agent", "peers", "cost"},
        {"user"},
        {"policy_kwargs", "schedules"},
        {"sb3_arguments", "table"},
        {"row"},
    ),
    "sb3": ({"__init__", "calls", "env", "view"}, {"parameters"}),
}


def ranks(layers):
    return {name: i for i, layer in enumerate(layers) for name in layer}


def test_python_s_layers_point_one_way():
    rank = ranks(LAYERS)
    for path in sorted(p for room in ("", *ROOMS) for p in (PACKAGE / room).glob("*.py")):
        name = path.stem if path.parent == PACKAGE else path.parent.name
        if name == "__init__":
            continue
        assert name in rank, f"{name} has no layer in LAYERS"
        for module in own(imports(read(path), package_of(path))) - {"fasttrpo"}:
            needed = module.split(".")[1]
            if needed != "portable":
                assert rank[needed] >= rank[name], f"{path.name} imports {needed}"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_s_layers_point_one_way(room):
    rank = ranks(ROOMS[room])
    for path in sorted(PACKAGE.glob(f"{room}/*.py")):
        assert path.stem in rank, f"{name_of(path)} has no layer in ROOMS"
        for module in own(imports(read(path), package_of(path))):
            if module.startswith(f"fasttrpo.{room}."):
                needed = module.split(".")[2]
                assert rank[needed] >= rank[path.stem], f"{name_of(path)} imports {needed}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=name_of)
def test_nothing_heavy_is_imported_at_module_level(path):
    tops = {n.split(".")[0] for n in imports(read(path), package_of(path), top_level=True)}
    assert tops & HEAVY <= HEAVY_ALLOWED.get(name_of(path), set())


def test_importing_imports_nothing_heavy():
    code = "import sys, fasttrpo; print(sorted(m for m in sys.modules if '.' not in m))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'fasttrpo'" in out.stdout
    assert not [name for name in (*HEAVY, "numpy") if f"'{name}'" in out.stdout]


# Parts of the standard library and of NumPy that take their time, and that a model needs late if
# at all: for saving, for a wrong name, for the command line.
LATE = {"argparse", "difflib", "importlib.metadata", "multiprocessing", "numpy.random", "secrets"}
LATE |= {"tempfile", "zipfile"}


def test_importing_a_model_takes_little_beyond_numpy():
    code = (
        "import sys, numpy; before = set(sys.modules)\n"
        "from fasttrpo import TRPO, evaluate_policy\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(out.stdout.split())
    assert "fasttrpo.trpo" in imported
    assert not imported & (LATE | HEAVY)


def test_a_wrong_import_is_seen():
    text = (
        "from ..trpo import TRPO\nfrom . import rng\ntry:\n    import numba\nexcept E:\n    pass\n"
    )
    assert own(imports(text, "fasttrpo.portable")) == {"fasttrpo.trpo", "fasttrpo.portable.rng"}
    assert "numba" in imports(text, "fasttrpo.portable", top_level=True)
    late = "def f():\n    import gymnasium\n"
    assert imports(late, "fasttrpo") == {"gymnasium"}
    assert not imports(late, "fasttrpo", top_level=True)


@pytest.mark.parametrize("path", PYTHON_FILES, ids=name_of)
def test_python_files_and_functions_are_short(path):
    text = read(path)
    assert text.count("\n") <= 500
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)]
    assert not [f.name for f in functions if f.end_lineno - f.lineno >= 60]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=name_of)
def test_modules_and_public_names_are_documented(path):
    tree = ast.parse(read(path))
    assert ast.get_docstring(tree)
    kinds = ast.FunctionDef | ast.ClassDef
    public = [n for n in tree.body if isinstance(n, kinds) and not n.name.startswith("_")]
    bare = {n.name for n in public if not ast.get_docstring(n)}
    if "portable" not in path.parts:
        assert not bare
