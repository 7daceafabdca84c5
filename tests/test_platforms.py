"""Training gives the hashes of tests/data/hashes.json on the platforms that are quick to build for;
`python tests/platforms.py` tries them all.
"""

from __future__ import annotations

import shutil

import platforms
import pytest
from c_objects import (
    ARM,
    ARM_CC,
    CC,
    FLAGS,
    PRECISIONS,
    arm_compiler,
    compile_arm_core,
    compile_core,
    run,
)
from tables import table

COLUMNS = {f"{kind} {precision}" for kind in ("baseline", "fused") for precision in PRECISIONS}
pytestmark = pytest.mark.skipif(shutil.which(CC) is None, reason=f"there is no C compiler ({CC})")


def kinds(text: str) -> set[str]:
    """The classes of instruction sets in a program's output, if it agrees with the table."""
    expected = platforms.kept()["hashes"]
    found: platforms.Hashes = {}
    platforms.add(found, text, "this platform")
    columns = {column for row in found.values() for column in row}
    assert columns
    assert found == {name: {each: row[each] for each in columns} for name, row in expected.items()}
    return {column.split()[0] for column in columns}


def test_the_table_is_complete():
    kept = platforms.kept()
    assert len(kept["hashes"]) > 20
    for name, row in kept["hashes"].items():
        assert set(row) == COLUMNS, name
    values = [value for row in kept["hashes"].values() for value in row.values()]
    assert len(set(values)) == len(values)
    assert len(kept["platforms"]) >= 11
    assert set(kept["platforms"]) <= set(platforms.PLATFORMS)


@table("precision", PRECISIONS)
def test_this_compiler_gives_the_hashes(precision, tmp_path, tmp_path_factory):
    """With every instruction set that this machine runs."""
    objects = map(str, compile_core(precision, tmp_path_factory))
    program, flags = str(tmp_path / "hashes"), [*FLAGS, *PRECISIONS[precision]]
    run([CC, *flags, "-o", program, str(platforms.PROGRAM), *objects, "-lm"])
    assert "baseline" in kinds(run([program]))


@pytest.mark.skipif(
    not (shutil.which(ARM_CC) and shutil.which(ARM)), reason=f"there is no {ARM_CC} or no {ARM}"
)
def test_emulated_arm_gives_the_hashes(tmp_path, tmp_path_factory):
    """With NEON, which is of the same class as AVX2."""
    objects = map(str, compile_arm_core("float32", tmp_path_factory))
    program = str(tmp_path / "hashes")
    run([*arm_compiler("float32"), "-o", program, str(platforms.PROGRAM), *objects, "-lm"])
    assert kinds(run([ARM, program, "neon"])) == {"fused"}


# Other compilers and levels than those above: precision, and instruction sets. Vectors take long
# without optimisation; gcc -O3 takes long to compile, and test_contraction.py reads its output.
QUICK = {
    "clang": ("float64", "baseline"),
    "wasm32": ("float32", "baseline"),
}


@pytest.mark.parametrize("name", QUICK)
def test_a_platform_gives_the_hashes(name, tmp_path):
    chosen, (precision, *sets) = platforms.PLATFORMS[name], QUICK[name]
    try:
        program = platforms.build(chosen, precision, tmp_path / name)
    except platforms.Missing as error:
        pytest.skip(str(error))
    assert "baseline" in kinds(platforms.train(chosen, program, *sets))


def test_a_difference_and_a_missing_tool_are_told(tmp_path):
    found: platforms.Hashes = {}
    platforms.add(found, "avx2 float32 1 adam\nbaseline float32 2 adam\n", "here")
    platforms.add(found, "neon float32 1 adam\n", "there")
    with pytest.raises(platforms.Failed, match="adam, float32: neon differs on a third"):
        platforms.add(found, "neon float32 3 adam\n", "a third")
    with pytest.raises(platforms.Missing, match="there is no no-such-compiler"):
        platforms.build(platforms.Platform("", "no-such-compiler"), "float32", tmp_path / "x")
