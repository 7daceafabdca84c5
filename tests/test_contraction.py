"""A product is rounded before it is added to something, whatever the compiler and its flags; or a
status says that it is not.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from c_objects import ARM, ARM_CC, CORE, CSRC, ROOT, run

# A fused multiply-add of scalars or vectors, which the kernels for AVX2 and AVX-512 ask for.
FUSED = re.compile(r"\bv?fn?m(add|sub)\w*\b")
CONTRACTING = ["gcc", "-O3", "-mfma", "-ffp-contract=fast", "-S", "-o", "-"]

SIMULATOR = ROOT / "tests" / "c" / "contracted.c"
REFUSED = "compiled with contraction, which changes results: omit -ffp-contract=fast"
STRICT, FAST = ["gcc", "-O0"], ["clang", "-O3", "-march=native", "-ffp-contract=fast"]
FAST_ARM = ["clang", "--target=aarch64-linux-gnu", "-O3", "-ffp-contract=fast"]

needs_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="needs x86-64")


def needs(*programs: str):
    missing = [each for each in programs if not shutil.which(each)]
    return pytest.mark.skipif(bool(missing), reason=f"there is no {' and no '.join(missing)}")


@needs_x86
@needs("gcc")
def test_no_source_is_contracted(tmp_path):
    """Even if the compiler is asked to fuse multiplications and additions."""
    control = tmp_path / "control.c"
    control.write_text("double f(double a, double b, double c) { return a * b + c; }")
    assert FUSED.search(run([*CONTRACTING, str(control)]))
    sources = [each for each in CORE if not each.stem.endswith(("_avx2", "_avx512"))]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        texts = list(threads.map(lambda each: run([*CONTRACTING, str(each)]), sources))
    fused = [each.name for each, text in zip(sources, texts, strict=True) if FUSED.search(text)]
    assert not fused


@needs_x86
@needs("clang")
def test_contraction_that_sources_cannot_prevent_is_noticed(tmp_path):
    """clang 14 obeys the flag rather than the pragma; trpo_init then returns TRPO_ERR_BUILD."""
    main, program = tmp_path / "main.c", tmp_path / "main"
    main.write_text(
        f'#include "{CSRC}/kernels/kernels.h"\nint main(void) {{ return trpok_is_strict(); }}'
    )
    math = str(CSRC / "kernels/math.c")
    flags = ["-O2", "-march=native"]
    for flag in ("-ffp-contract=on", "-ffp-contract=fast"):
        is_fused = bool(FUSED.search(run(["clang", *flags, flag, "-S", "-o", "-", math])))
        run(["clang", *flags, flag, "-o", str(program), str(main), math, "-lm"])
        assert subprocess.run([str(program)], check=False).returncode == (not is_fused)
        assert not (is_fused and flag == "-ffp-contract=on")


def simulate(simulator: list[str], library: list[str], folder, *runner: str) -> list[str]:
    """The lines of contracted.c, compiled by one compiler, with the environments by another."""
    folder.mkdir()
    run([*simulator, "-Wall", "-Wextra", "-Werror", "-c", str(SIMULATOR)], cwd=folder)
    run([*library, "-c", *map(str, sorted(CSRC.glob("envs/*.c")))], cwd=folder)
    objects = sorted(map(str, folder.glob("*.o")))
    run([*library, "-o", str(folder / "program"), *objects, "-lm"])
    return run([*runner, str(folder / "program")]).splitlines()


@needs_x86
@needs("gcc", "clang")
def test_simulators_draw_the_same_numbers_whatever_their_compiler(tmp_path):
    """Even if it fuses the simulator's own products and sums."""
    expected = simulate(STRICT, STRICT, tmp_path / "strict")
    assert expected[:2] == ["ok", "ok"]
    for number, flags in enumerate(([], ["-DTRPO_STRICT_FILE"], ["-xc++", "-std=c++11"])):
        assert simulate([*FAST, *flags], STRICT, tmp_path / f"fast{number}") == expected
    fused = [*CONTRACTING[:-3], "-march=native"]
    assert simulate(fused, STRICT, tmp_path / "gcc") == expected
    # unless it says that it looks itself, as the library does
    assert simulate([*FAST, "-DTRPO_STRICT_NOTICED"], STRICT, tmp_path / "own") != expected


@needs_x86
@needs("gcc", "clang")
def test_contracted_environments_are_refused(tmp_path):
    assert simulate(STRICT, FAST, tmp_path / "fast") == [REFUSED]


@needs(ARM_CC, ARM, "clang")
def test_contracted_draws_are_refused_where_they_cannot_be_prevented(tmp_path):
    library = [ARM_CC, "-static", "-O1"]
    expected = simulate(library, library, tmp_path / "strict", ARM)
    assert expected[:2] == ["ok", "ok"]
    assert simulate(FAST_ARM[:-1], library, tmp_path / "plain", ARM) == expected
    status, after_reset, bits = simulate(FAST_ARM, library, tmp_path / "fast", ARM)
    assert (status, after_reset, bits == expected[2]) == ("ok", REFUSED, False)
