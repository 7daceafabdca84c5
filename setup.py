"""Builds the compiled core, once per precision, and the environments; all else is pyproject.toml.

Environment variables for developers:
    FASTTRPO_SANITIZE=1   address and undefined-behaviour sanitizers
    FASTTRPO_PORTABLE=1   no extension at all: the portable backend only
"""

import copy
import importlib.util
import os
import sys
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FOLDERS = ("core", "kernels", "envs", "executor")
SOURCES = sorted(path for folder in FOLDERS for path in glob(f"csrc/{folder}/*.c"))
ENVIRONMENTS = sorted(glob("csrc/envs/*.c"))
HEADERS = sorted(glob("csrc/*/*.h") + glob("fasttrpo/core/*.pxi"))


def compile_flags():
    """Optimised, and never a flag that lets the compiler reorder arithmetic."""
    if sys.platform == "win32":
        return ["/O2", "/fp:precise"]
    flags = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
    flags += ["-fvisibility=hidden", "-pthread"]
    return flags + sanitizers()


def link_flags():
    return [] if sys.platform == "win32" else ["-pthread", *sanitizers()]


def sanitizers():
    if not os.environ.get("FASTTRPO_SANITIZE"):
        return []
    # -O1: with all of -O3, compiling takes minutes
    return ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


def core(precision, macros):
    return Extension(
        f"fasttrpo.core._core{precision}",
        [f"fasttrpo/core/_core{precision}.pyx", *SOURCES],
        define_macros=macros,
        depends=HEADERS,
        extra_compile_args=compile_flags(),
        extra_link_args=link_flags(),
        optional=True,  # where there is no compiler, the portable backend serves
    )


def environments():
    return Extension(
        "fasttrpo.core._envs",
        ["fasttrpo/core/_envs.pyx", *ENVIRONMENTS],
        depends=HEADERS,
        extra_compile_args=compile_flags(),
        extra_link_args=sanitizers(),
        optional=True,
    )


class BuildInOwnFolders(build_ext):
    """The two precisions share their sources, so each needs a folder of objects of its own; all
    the more where the extensions are built side by side.
    """

    def finalize_options(self):
        super().finalize_options()
        if self.parallel is None and sys.platform != "win32":
            self.parallel = True  # as many as there are cores

    def run(self):
        super().run()
        if not self.inplace:
            self.record_sources()

    def record_sources(self):
        """Puts beside the extensions what tells which sources they were built from."""
        spec = importlib.util.spec_from_file_location("source_tree", "fasttrpo/core/source_tree.py")
        source_tree = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(source_tree)
        folder = Path(self.build_lib) / "fasttrpo" / "core"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / source_tree.RECORD).write_text(source_tree.fingerprint(Path()), encoding="ascii")

    def build_extension(self, extension):
        alone = copy.copy(self)
        alone.build_temp = str(Path(self.build_temp) / extension.name)
        build_ext.build_extension(alone, extension)


EXTENSIONS = [core(32, []), core(64, [("TRPO_DOUBLE", "1")]), environments()]

setup(
    ext_modules=[] if os.environ.get("FASTTRPO_PORTABLE") else EXTENSIONS,
    cmdclass={"build_ext": BuildInOwnFolders},
)
