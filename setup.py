"""Builds the compiled core, once per precision, and the environments, and makes the two C files of
`fasttrpo embed`. The rest is pyproject.toml.

Environment variables for developers:
    FASTTRPO_SANITIZE=1   with address and undefined-behaviour sanitizers
    FASTTRPO_PORTABLE=1   without extensions: the portable backend only
"""

import copy
import importlib.util
import os
import sys
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

FOLDERS = ("core", "kernels", "envs", "executor")
SOURCES = sorted(path for folder in FOLDERS for path in glob(f"csrc/{folder}/*.c"))
ENVIRONMENTS = sorted(glob("csrc/envs/*.c"))
HEADERS = sorted(glob("csrc/*/*.h") + glob("fasttrpo/core/*.pxi"))


def compile_flags():
    """Optimisation, without flags that let the compiler reorder arithmetic."""
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
    # -O0, since optimising instrumented code takes minutes
    return ["-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


def core(precision, macros):
    return Extension(
        f"fasttrpo.core._core{precision}",
        [f"fasttrpo/core/_core{precision}.pyx", *SOURCES],
        define_macros=macros,
        depends=HEADERS,
        extra_compile_args=compile_flags(),
        extra_link_args=link_flags(),
        optional=True,  # without a compiler the portable backend is used
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


def load(path):
    """The module in a file outside the path."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BuildWithTwoFiles(build_py):
    """Puts fasttrpo.h and fasttrpo.c into the package fasttrpo.embed of an installation."""

    def run(self):
        super().run()
        if not self.editable_mode:
            load("csrc/amalgamate.py").write(Path(self.build_lib) / "fasttrpo" / "embed")


class BuildInOwnFolders(build_ext):
    """Gives each extension its own folder of objects, since the extensions share sources and are
    built in parallel.
    """

    def finalize_options(self):
        super().finalize_options()
        if self.parallel is None and sys.platform != "win32":
            self.parallel = True  # one job per core

    def run(self):
        super().run()
        if not self.inplace:
            self.record_sources()

    def record_sources(self):
        """Write the fingerprint of the extensions' sources next to them."""
        source_tree = load("fasttrpo/core/source_tree.py")
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
    cmdclass={"build_ext": BuildInOwnFolders, "build_py": BuildWithTwoFiles},
)
