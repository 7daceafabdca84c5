"""The example in Rust: its bindings, its build script, and what it learns."""

from __future__ import annotations

import os
import re
import shutil

import pytest
from c_objects import CC, CSRC, compile_core, run

RUST = CSRC / "examples/rust"
BINDINGS = RUST / "src/bindings.rs"

pytestmark = [
    pytest.mark.skipif(not RUST.exists(), reason="the sources are not beside the tests"),
    pytest.mark.skipif(shutil.which(CC) is None, reason=f"there is no C compiler ({CC})"),
]
needs_rust = pytest.mark.skipif(shutil.which("cargo") is None, reason="there is no cargo")


@pytest.mark.skipif(shutil.which("bindgen") is None, reason="there is no bindgen")
@pytest.mark.skipif(shutil.which("rustfmt") is None, reason="there is no rustfmt to format them")
def test_bindings_are_those_of_the_headers():
    """After a change of a header, csrc/examples/rust/make_bindings.sh makes them again."""
    text = BINDINGS.read_text()
    made_by = re.search(r"rust-bindgen (\S+)", text)[1]
    if made_by not in run(["bindgen", "--version"]):
        pytest.skip(f"this is not bindgen {made_by}")
    assert run([str(RUST / "make_bindings.sh")]) == text


def cargo(*command, folder, **variables) -> str:
    environment = os.environ | {"CC": CC, "CARGO_TARGET_DIR": str(folder)} | variables
    return run(["cargo", *command, "--offline", "--locked"], cwd=RUST, env=environment)


@needs_rust
def test_build_script_compiles_the_core_and_structs_have_its_layout(tmp_path):
    """Runs bindgen's layout tests, without optimisation, which is quicker."""
    printed = cargo("test", folder=tmp_path, CARGO_PROFILE_DEV_OPT_LEVEL="0")
    assert "test bindings::bindgen_test_layout_trpo_settings ... ok" in printed
    assert "test bindings::bindgen_test_layout_trpo_env ... ok" in printed


@needs_rust
@pytest.mark.skipif(shutil.which("ar") is None, reason="there is no ar")
def test_example_learns_with_a_library_that_is_built_already(tmp_path, tmp_path_factory):
    objects = compile_core("float32", tmp_path_factory)
    run(["ar", "crs", str(tmp_path / "libfasttrpo.a"), *map(str, objects)])
    printed = cargo("run", "--release", folder=tmp_path, FASTTRPO_LIB_DIR=str(tmp_path))
    assert printed.splitlines()[-1].startswith("learnt: mean return 1")
    assert not list(tmp_path.rglob("dense_avx2.o"))  # else the build script has compiled the core
