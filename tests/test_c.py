"""The C core without Python: its C tests, its examples, and mistakes that the tests must catch.

Everything is compiled with plain `cc` in temporary folders; c_objects.py names the variables that
change the compiler and its flags.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from c_objects import (
    ARM,
    ARM_CC,
    CC,
    CORE,
    CSRC,
    FLAGS,
    POOL,
    PRECISIONS,
    ROOT,
    arm_compiler,
    command_in_header,
    compile_arm_core,
    compile_core,
    compile_once,
    compile_pool,
    run,
)

SIMULATOR = CSRC / "examples/balance_env.c"
EXAMPLE = CSRC / "examples/embed_cartpole.c"
TESTS = sorted(ROOT.glob("tests/c/test_*.c"))
FUZZERS = sorted(ROOT.glob("tests/fuzz/fuzz_*.c"))
SET_BITS = ROOT / "tests/c/set_bits.c"
SET_BITS_LINES = {"dense", "function", "product", "cholesky", "gae", "update"}

SANITIZED = any(flag.startswith("-fsanitize") for flag in FLAGS)

pytestmark = pytest.mark.skipif(shutil.which(CC) is None, reason=f"there is no C compiler ({CC})")

# One flipped sign each, in a derivative, a product or a recursion: (file, right, wrong).
MISTAKES = {
    "gradient": ("core/gradient.c", "weight[first + i] : 1;", "-weight[first + i] : 1;"),
    "Gaussian mean": ("kernels/gaussian.c", "dout[at] = w[n]", "dout[at] = -w[n]"),
    "Gaussian log_std": ("kernels/gaussian.c", "dl += w[n]", "dl -= w[n]"),
    "categorical": ("kernels/categorical.c", "dout[j] = w[n]", "dout[j] = -w[n]"),
    "entropy": ("kernels/categorical.c", "dout[k] -= c * e", "dout[k] += c * e"),
    "Bernoulli": ("kernels/bernoulli.c", "? q : -p)", "? -q : p)"),
    "Bernoulli's metric": (
        "kernels/bernoulli.c",
        "variance(work[i]) * tout",
        "-variance(work[i]) * tout",
    ),
    "metric": ("kernels/categorical.c", "(tout[k] - mean)", "(tout[k] + mean)"),
    "conjugate gradient": ("core/cg.c", "trpok_axpy(r, -alpha", "trpok_axpy(r, alpha"),
    "bootstrap": ("kernels/wide_simd.h", "skip, gamma,", "skip, -gamma,"),
}


def compile_objects(sources: list[Path], folder: Path, precision: str) -> list[Path]:
    """Compile the sources into the folder and return the object files."""
    run([CC, *FLAGS, *PRECISIONS[precision], "-c", *map(str, sources)], cwd=folder)
    return [folder / f"{source.stem}.o" for source in sources]


def link(program: Path, main: Path, objects: list[Path], precision: str) -> Path:
    """Link a main file, source or object, with the objects."""
    flags = [*FLAGS, *PRECISIONS[precision]]
    run([CC, *flags, "-o", str(program), str(main), *map(str, objects), "-lm", "-lpthread"])
    return program


@pytest.fixture(scope="session", params=PRECISIONS)
def precision(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def core(precision, tmp_path_factory) -> list[Path]:
    return compile_core(precision, tmp_path_factory)


@pytest.fixture(scope="session")
def pool(tmp_path_factory) -> list[Path]:
    return compile_pool(tmp_path_factory)


@pytest.mark.parametrize("test", TESTS, ids=lambda path: path.stem)
def test_c_test_passes(test, core, pool, precision, tmp_path):
    objects = [*core, *pool] if "trpo_pool.h" in test.read_text() else core
    run([str(link(tmp_path / test.stem, test, objects, precision))])


@pytest.mark.parametrize("fuzzer", FUZZERS, ids=lambda path: path.stem)
def test_a_fuzzer_finds_nothing_in_a_few_inputs(fuzzer, core, precision, tmp_path):
    """Replays random inputs; `tests/fuzz/run` fuzzes with clang."""
    replay = compile_objects([fuzzer.with_name("replay.c")], tmp_path, precision)
    run([str(link(tmp_path / fuzzer.stem, fuzzer, [*replay, *core], precision)), "100"])


def test_there_are_c_tests():
    assert len(TESTS) >= 10
    assert len(FUZZERS) >= 6
    assert len(CORE) >= 20
    assert len(POOL) >= 2


needs_arm = pytest.mark.skipif(
    not (shutil.which(ARM_CC) and shutil.which(ARM)), reason=f"there is no {ARM_CC} or no {ARM}"
)


@pytest.fixture(scope="session")
def arm_core(precision, tmp_path_factory) -> list[Path]:
    return compile_arm_core(precision, tmp_path_factory)


def emulate(program: Path, main: Path, objects: list[Path], precision: str, *arguments) -> str:
    """The output of a C file linked with the core on an emulated Arm machine."""
    run([*arm_compiler(precision), "-o", str(program), str(main), *map(str, objects), "-lm"])
    return run([ARM, str(program), *arguments])


@needs_arm
def test_emulated_neon_is_right(arm_core, precision, tmp_path):
    """Every tenth layer only, since emulation is slow."""
    emulate(tmp_path / "arm", ROOT / "tests/c/test_kernels.c", arm_core, precision, "10")
    emulate(tmp_path / "wide", ROOT / "tests/c/test_wide_kernels.c", arm_core, precision)


@needs_arm
def test_emulated_neon_gives_the_bits_of_avx2(core, arm_core, precision, tmp_path):
    """For each kernel, with every third layer, and for complete updates; although this compiler
    uses fused multiply-adds of its own where it may.
    """
    native = link(tmp_path / "set_bits", SET_BITS, core, precision)
    done = subprocess.run([str(native), "avx2", "3"], capture_output=True, text=True, check=False)
    if done.returncode == 2:
        pytest.skip("this machine has no AVX2 to compare with")
    assert done.returncode == 0, done.stdout
    here = done.stdout.splitlines()
    arm = emulate(tmp_path / "arm", SET_BITS, arm_core, precision, "neon", "3").splitlines()
    assert {line.split()[0] for line in here} == SET_BITS_LINES
    differing = [(a, b) for a, b in zip(here, arm, strict=True) if a != b]
    assert not differing, f"{len(differing)} lines differ, the first: {differing[0]}"


# What IEEE 754 defines, and what is not arithmetic.
ALLOWED = {"sqrt", "sqrtf", "fabs", "fabsf", "floor", "fma", "fmaf", "fmin", "fmax"}
ALLOWED |= {"memcpy", "memmove", "memset", "memcmp", "strcmp", "strlen", "strncmp"}
ALLOWED |= {"__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"}


def symbols(objects: list[Path], kind: str) -> set[str]:
    """The names that the objects define ("--defined-only") or need ("--undefined-only")."""
    lines = run(["nm", "-P", kind, *map(str, objects)]).splitlines()
    return {line.split()[0] for line in lines if " " in line}


@pytest.mark.skipif(SANITIZED, reason="sanitizers need their libraries")
def test_no_function_of_libm_is_needed_that_ieee_754_does_not_define(core, tmp_path):
    """Those of C libraries differ in the last bit."""
    control = tmp_path / "control.c"
    control.write_text("#include <math.h>\ndouble f(double x) { return exp(sqrt(x)); }")
    control_object = compile_objects([control], tmp_path, "float64")
    assert symbols(control_object, "--undefined-only") - ALLOWED == {"exp"}
    needed = symbols(core, "--undefined-only") - symbols(core, "--defined-only")
    assert "memcpy" in needed
    assert needed <= ALLOWED


def test_example_solves_its_cartpole(core, precision, tmp_path):
    program = link(tmp_path / "embed_cartpole", EXAMPLE, core, precision)
    last_line = run([str(program), "0"]).splitlines()[-1]
    assert last_line.startswith("solved")
    assert float(re.search(r"mean length (\S+) over", last_line)[1]) >= 475


def test_examples_compile_with_the_commands_in_their_headers(tmp_path):
    """In a folder that holds only csrc, so that nothing is written into the sources. -O0 compiles
    four times as fast.
    """
    (tmp_path / "csrc").symlink_to(CSRC, target_is_directory=True)
    for example, product in ((EXAMPLE, "embed"), (SIMULATOR, "balance_env.so")):
        command = re.sub(r" -O\d ", " -O0 ", command_in_header(example))
        run(["sh", "-ec", command], cwd=tmp_path)
        assert os.access(tmp_path / product, os.X_OK)


def test_c_files_have_unique_names():
    """Compiled into one folder, two objects of one name would overwrite each other."""
    assert len({path.stem for path in CORE}) == len(CORE)


# One mistake each in the pool: (right, wrong).
SLIPS = {
    "a task left out": ("__atomic_store_n(&c->next, 0,", "__atomic_store_n(&c->next, 1,"),
    "each task twice": (
        "(i = __atomic_fetch_add(&c->next, 1, __ATOMIC_RELAXED))",
        "(i = __atomic_fetch_add(&c->next, 1, __ATOMIC_RELAXED) / 2)",
    ),
    "a task too many": (")) < c->n_tasks)", ")) <= c->n_tasks)"),
    "everybody is worker 1": ("take_tasks(c, m->worker)", "take_tasks(c, 1)"),
    "a thread too many": (
        "start_threads(c, (n_tasks < pool->n_threads ? n_tasks : pool->n_threads) - 1)",
        "start_threads(c, pool->n_threads)",
    ),
    "no thread": ("return c->size > 0 ? c : NULL;", "return NULL;"),
    "the parent's threads": ("c == NULL || c->owner != pid", "c == NULL"),
    "the caller does not wait": ("if (spin(c, &c->inside, SHUT, 1)) return;", "return;"),
}


@pytest.fixture(scope="session")
def pool_tests(tmp_path_factory) -> list[Path]:
    """test_pool.c and test_pool_host.c compiled, to be linked with each changed pool."""
    sources = [ROOT / f"tests/c/{name}.c" for name in ("test_pool", "test_pool_host")]
    return compile_once([CC, *FLAGS], sources, "pool_tests", tmp_path_factory)


def fails(program: Path) -> bool:
    """Whether the program fails, is killed, or runs for more than a minute."""
    with subprocess.Popen([str(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            child.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            child.kill()
        return child.wait() != 0


@pytest.mark.skipif(SANITIZED, reason="sanitizers leave out the forks that some slips show in")
@pytest.mark.parametrize("precision", ["float32"], indirect=True)
@pytest.mark.parametrize("slip", SLIPS)
def test_mistakes_in_the_pool_are_caught(slip, core, pool, pool_tests, precision, tmp_path):
    """With one mistake in the pool, one of its tests fails or never ends."""
    right, wrong = SLIPS[slip]
    text = (CSRC / "executor/pool.c").read_text()
    assert text.count(right) == 1, f"pool.c has no single {right!r} any more: choose another slip"
    shutil.copytree(CSRC, tmp_path / "csrc")
    source = tmp_path / "csrc/executor/pool.c"
    source.write_text(text.replace(right, wrong))
    changed = compile_objects([source], tmp_path, precision)
    objects = [*core, *changed, *(each for each in pool if each.name != "pool.o")]
    programs = (link(tmp_path / main.stem, main, objects, precision) for main in pool_tests)
    assert any(map(fails, programs))


def flip_sign(csrc: Path, mistake: str) -> list[Path]:
    """Make the mistake in a copy of the sources. Returns the files to recompile: the changed file,
    or those that include it (one for each instruction set).
    """
    name, right, wrong = MISTAKES[mistake]
    file = csrc / name
    text = file.read_text()
    assert text.count(right) == 1, f"{name} has no single {right!r} any more: choose another sign"
    file.write_text(text.replace(right, wrong))
    if file.suffix == ".c":
        return [file]
    return [each for each in file.parent.glob("*.c") if f'"{file.name}"' in each.read_text()]


@pytest.fixture(scope="session")
def update_test(precision, tmp_path_factory) -> Path:
    """test_update.c compiled, to be linked with each changed core."""
    compiler, sources = [CC, *FLAGS, *PRECISIONS[precision]], [ROOT / "tests/c/test_update.c"]
    return compile_once(compiler, sources, f"update_test_{precision}", tmp_path_factory)[0]


@pytest.mark.parametrize("precision", ["float32"], indirect=True)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_flipped_signs_in_the_core_are_caught(mistake, core, update_test, precision, tmp_path):
    """With one sign of the core flipped, test_update.c fails."""
    csrc = tmp_path / "csrc"
    shutil.copytree(CSRC, csrc)
    wrong = compile_objects(flip_sign(csrc, mistake), tmp_path, precision)
    right = [each for each in core if each.name not in {each.name for each in wrong}]
    program = link(tmp_path / "test_update", update_test, right + wrong, precision)
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "check failed:" in done.stdout
