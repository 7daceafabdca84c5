"""The core as a library: csrc/CMakeLists.txt, its package for CMake, and its file for pkg-config.

Programs outside the tree (tests/cmake) find it in each of these ways, and print what the same
program prints that is compiled with the sources. Libraries are built without optimisation, because
that is quick and changes no result.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess

import pytest
from c_objects import CC, CSRC, FLAGS, PRECISIONS, ROOT, compile_core, compile_pool, run

CONSUMER = ROOT / "tests/cmake/consumer.c"

pytestmark = [
    pytest.mark.skipif(not CSRC.exists(), reason="the sources are not beside the tests"),
    pytest.mark.skipif(platform.system() != "Linux", reason="reads ELF libraries"),
    *(
        pytest.mark.skipif(shutil.which(tool) is None, reason=f"there is no {tool}")
        for tool in (CC, "cmake", "pkg-config", "nm")
    ),
]


def in_tree(precision, flags, folder, factory) -> list[str]:
    """The command that runs the consumer compiled with the tree's sources."""
    objects = [*compile_core(precision, factory), *compile_pool(factory)]
    command = [CC, *FLAGS, *PRECISIONS[precision], *flags, f"-I{CSRC}/include", str(CONSUMER)]
    run([*command, *map(str, objects), "-o", str(folder / "in_tree"), "-lm", "-lpthread"])
    return [str(folder / "in_tree")]


def cmake(*arguments, **keywords) -> str:
    environment = os.environ | {"CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count())}
    return run(["cmake", *map(str, arguments)], env=environment, **keywords)


def build(source, folder, *options) -> None:
    cmake(
        "-S", source, "-B", folder, "-DCMAKE_BUILD_TYPE=Debug", f"-DCMAKE_C_COMPILER={CC}", *options
    )
    cmake("--build", folder)


def project(folder, lines, target="fasttrpo::fasttrpo") -> None:
    """A project that compiles the consumer."""
    folder.mkdir()
    shutil.copy(CONSUMER, folder)
    start = "cmake_minimum_required(VERSION 3.18)\nproject(consumer C)\n"
    end = f"add_executable(consumer consumer.c)\ntarget_link_libraries(consumer {target})\n"
    (folder / "CMakeLists.txt").write_text(f"{start}{lines}\n{end}")


def with_pkg_config(prefix, name, program, *flags) -> list[str]:
    """Compile the consumer with what pkg-config says of a library in this prefix."""
    environment = os.environ | {"PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")}
    options = run(["pkg-config", "--cflags", "--libs", name], env=environment)
    run([CC, *flags, str(CONSUMER), "-o", str(program), *shlex.split(options)])
    return [str(program)]


def exported(library) -> set[str]:
    lines = run(["nm", "-DP", "--defined-only", str(library)]).splitlines()
    return {line.split()[0] for line in lines if line.split()[1] != "w"}


def test_shared_library_is_found_by_cmake_and_pkg_config(tmp_path, tmp_path_factory):
    """Also after the installed tree was moved."""
    flags = ["-DWITH_ALL"]
    expected = run(in_tree("float32", flags, tmp_path, tmp_path_factory))
    install = ["-DCMAKE_INSTALL_LIBDIR=lib", f"-DCMAKE_INSTALL_PREFIX={tmp_path}/first"]
    build(CSRC, tmp_path / "build", "-DBUILD_SHARED_LIBS=ON", *install)
    cmake("--install", tmp_path / "build")
    prefix = (tmp_path / "first").rename(tmp_path / "moved")

    library = prefix / "lib/libfasttrpo.so"
    names = exported(library)
    assert {"trpo_init", "trpo_update", "trpo_envs_step", "trpo_pool_new"} <= names
    assert {name for name in names if not name.startswith("trpo_")} == set()
    version = re.search(
        r'TRPO_VERSION "((\d+\.\d+)\.\d+)"', (prefix / "include/trpo.h").read_text()
    )
    assert library.resolve().name == f"libfasttrpo.so.{version[1]}"
    assert f"soname: [libfasttrpo.so.{version[2]}]" in run(["readelf", "-d", str(library)])

    headers = {path.name for path in (prefix / "include").iterdir()}
    assert headers == {path.name for path in (CSRC / "include").iterdir()}

    here = {"env": os.environ | {"LD_LIBRARY_PATH": str(prefix / "lib")}}
    assert (
        run(with_pkg_config(prefix, "fasttrpo", tmp_path / "consumer", *flags), **here) == expected
    )
    project(tmp_path / "project", f"find_package(fasttrpo {version[2]} REQUIRED)")
    build(
        tmp_path / "project",
        tmp_path / "consumed",
        f"-DCMAKE_PREFIX_PATH={prefix}",
        "-DCMAKE_C_FLAGS=-DWITH_ALL",
    )
    assert run([str(tmp_path / "consumed/consumer")]) == expected

    project(tmp_path / "newer", "find_package(fasttrpo 99 REQUIRED)")
    refused = subprocess.run(
        [
            "cmake",
            "-S",
            tmp_path / "newer",
            "-B",
            tmp_path / "refused",
            f"-DCMAKE_PREFIX_PATH={prefix}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode != 0
    assert f"version: {version[1]}" in refused.stderr


def test_fetch_content_builds_what_the_options_say(tmp_path, tmp_path_factory):
    """A static library for double with nothing optional, which installs beside the other. Without
    SIMD it has the bits of the tree's portable kernels.
    """
    expected = run([*in_tree("float64", [], tmp_path, tmp_path_factory), "baseline"])
    options = {"DOUBLE": "ON", "SIMD": "OFF", "POOL": "OFF", "ENVIRONMENTS": "OFF", "INSTALL": "ON"}
    sets = "\n".join(f"set(FASTTRPO_{name} {value})" for name, value in options.items())
    project(
        tmp_path / "project",
        f"""{sets}
include(FetchContent)
FetchContent_Declare(fasttrpo SOURCE_DIR {ROOT} SOURCE_SUBDIR csrc)
FetchContent_MakeAvailable(fasttrpo)""",
    )
    folder = tmp_path / "build"
    build(tmp_path / "project", folder, "-DCMAKE_INSTALL_LIBDIR=lib")
    assert run([str(folder / "consumer")]) == expected
    cmake("--install", folder, "--prefix", tmp_path / "prefix")
    library = next((tmp_path / "prefix/lib").glob("*.a"))
    assert library.name == "libfasttrpo_double.a"
    names = {
        line.split()[0] for line in run(["nm", "-P", str(library)]).splitlines() if " T " in line
    }
    assert "trpo_update" in names
    assert not {name for name in names if name.startswith(("trpo_env", "trpo_pool"))}
    consumer = with_pkg_config(tmp_path / "prefix", "fasttrpo_double", tmp_path / "consumer")
    assert run(consumer) == expected

    # A project may find both: the other one's target exists already.
    lines = "add_library(fasttrpo::fasttrpo INTERFACE IMPORTED)\nfind_package(fasttrpo_double 0.1)"
    project(tmp_path / "both", lines, target="fasttrpo::fasttrpo_double")
    build(tmp_path / "both", tmp_path / "found", f"-DCMAKE_PREFIX_PATH={tmp_path}/prefix")
    assert run([str(tmp_path / "found/consumer")]) == expected
