"""Runs sb3-contrib's own tests of TRPO with ours. Not part of the test suite: needs the network.

    pip install 'fasttrpo[peer]' pytest && python tests/sb3_contrib_tests.py [--version X.Y.Z]

pip fetches the source distribution of the installed sb3-contrib, or of the given version, into a
temporary folder. Only the tests that make a TRPO run (`makes_trpo`), with the one import changed
(`REWRITINGS` lists each change with its reason) and without what only PyTorch can do (`SKIPS`).
Both lists are printed, with the outcome of every test. The exit status is pytest's, or 1 if a
rewriting or a skip matched nothing: the list is then out of date.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import inspect
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

FILES = (
    "test_run.py",
    "test_save_load.py",
    "test_identity.py",
    "test_dict_env.py",
    "test_utils.py",
    "test_cnn.py",
)


class Rewriting(NamedTuple):
    """Every match of `pattern` in `files` becomes `replacement`."""

    files: tuple[str, ...]
    pattern: str
    replacement: str
    why: str


REWRITINGS = (
    Rewriting(
        FILES,
        r"^(from sb3_contrib import .*TRPO.*)$",
        r"\1\nfrom fasttrpo import TRPO",
        "the one import: TRPO is ours, the other algorithms stay",
    ),
    Rewriting(
        ("test_save_load.py",),
        r"^import torch as th$",
        "import numpy_torch as th",
        "PyTorch-specific: our parameters are NumPy arrays, so the comparisons are NumPy's",
    ),
    Rewriting(
        ("test_save_load.py",),
        r"^ *assert new_params\[object_name\]\[key\]\.device\.type == .*\n",
        "",
        "PyTorch-specific: an array has no torch.device (those of model and policy are checked)",
    ),
    Rewriting(
        ("test_save_load.py",), r'\.to\("cpu"\)', "", "PyTorch-specific: arrays are on the CPU"
    ),
    Rewriting(
        ("test_save_load.py",),
        r'(assert model\.verbose == 2\n(?:.*\n)*?.*os\.remove\(tmp_path / "test_save)\.zip',
        r"\1.npz",
        "the file of save(.../test_save) ends in .npz here; load finds it as .zip too",
    ),
    Rewriting(
        ("test_run.py",),
        r"(def test_trpo_params\(\):(?:\n.*?)*?)\n *use_sde=True,",
        r"\1",
        "gSDE is not supported (use_sde=True is rejected with that reason); the rest of it runs",
    ),
)

_CONVOLUTIONS = "PyTorch-specific: CnnPolicy is a network of PyTorch's convolutions"
SKIPS = {
    "test_cnn.py::test_cnn": _CONVOLUTIONS,
    "test_cnn.py::test_image_like_input": _CONVOLUTIONS,
    "test_save_load.py::test_save_load_policy[CnnPolicy-TRPO]": _CONVOLUTIONS,
}


def fetch(version: str, folder: Path) -> None:
    """Downloads sb3-contrib's tests of TRPO into `folder`."""
    name = f"sb3-contrib=={version}"
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*pip, "--dest", str(folder), name], check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            path = Path(member.name)
            if path.parent.name == "tests" and path.name in FILES:
                (folder / path.name).write_bytes(tar.extractfile(member).read())


def rewrite(folder: Path) -> list[str]:
    """Applies `REWRITINGS`; returns one line about each."""
    lines = []
    for rewriting in REWRITINGS:
        count = 0
        for name in rewriting.files:
            path = folder / name
            text, n = re.subn(
                rewriting.pattern, rewriting.replacement, path.read_text(), flags=re.MULTILINE
            )
            path.write_text(text)
            count += n
        if not count:
            raise SystemExit(f"nothing to rewrite: {rewriting.why}")
        lines.append(f"{count} x {rewriting.why}")
    return lines


def makes_trpo(item: pytest.Item) -> bool:
    """Whether a test makes a TRPO: one of its parameters is the class, or its source names it."""
    from fasttrpo import TRPO

    values = item.callspec.params.values() if hasattr(item, "callspec") else ()
    if any(inspect.isclass(value) and value.__name__ in vars(item.module) for value in values):
        return any(value is TRPO for value in values)
    return "TRPO(" in inspect.getsource(item.function)


class Selection:
    """A pytest plugin that keeps the tests of TRPO and skips those in `SKIPS`."""

    def __init__(self) -> None:
        self.unmet = dict(SKIPS)

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list) -> None:
        kept = [item for item in items if makes_trpo(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept
        for item in items:
            name = f"{item.path.name}::{item.name}"
            for known in (name, name.partition("[")[0]):
                if known in SKIPS:
                    self.unmet.pop(known, None)
                    item.add_marker(pytest.mark.skip(reason=SKIPS[known]))


def main() -> int:
    """Fetches, rewrites and runs the tests, and prints the outcome."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--version", help="of sb3-contrib (default: the one installed)")
    parser.add_argument("-k", default="", help="as pytest's")
    args = parser.parse_args()
    try:
        version = args.version or importlib.metadata.version("sb3-contrib")
        importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError as error:
        raise SystemExit(f"{error.name} is missing: pip install 'fasttrpo[peer]'") from None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fetch(version, folder)
        print(f"sb3-contrib {version}; changed in its tests:")
        print(*(f"  {line}" for line in rewrite(folder)), sep="\n")
        selection = Selection()
        options = ["-v", "-rs", "-p", "no:cacheprovider", f"--rootdir={name}", "-c", "/dev/null"]
        status = pytest.main([*options, "-k", args.k, name], plugins=[selection])
    if selection.unmet and not args.k:
        print(f"skips that matched no test: {sorted(selection.unmet)}")
        status = status or 1
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
