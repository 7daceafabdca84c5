"""Builds the programs in csrc/examples, for the tests that run them."""

from __future__ import annotations

import glob
import os
import shlex
from pathlib import Path

from c_objects import CC, CSRC, FLAGS, command_in_header, compile_core, compile_pool, run

EXAMPLES = CSRC / "examples"
CXX = {"gcc": "g++", "clang": "clang++"}.get(CC, "c++")


def compile_library(factory) -> dict[str, Path]:
    """The objects of the core, environments and pool, by the paths of their sources."""
    objects = [*compile_core("float32", factory), *compile_pool(factory)]
    stems = {path.stem: path for path in objects}
    sources = (path for path in CSRC.glob("*/*.c") if path.stem in stems)
    return {f"csrc/{path.relative_to(CSRC)}": stems[path.stem] for path in sources}


def build(example: str, library: dict[str, Path], folder: Path, **variables: str) -> Path:
    """The program that the command in an example's header makes in this folder. The library's
    sources in the command are replaced by their objects, $NAMES by the variables.
    """
    (folder / "csrc").symlink_to(CSRC, target_is_directory=True)
    command = command_in_header(EXAMPLES / example)
    for name, value in variables.items():
        command = command.replace(f"${name}", value)
    compiler, *words = shlex.split(command)
    files = [file for word in words for file in sorted(glob.glob(word, root_dir=folder)) or [word]]
    files = [str(library.get(file, file)) for file in files]
    run([CXX if compiler == "c++" else CC, *FLAGS, *files], cwd=folder)
    program = folder / words[words.index("-o") + 1]
    assert os.access(program, os.X_OK)
    return program
