"""The arrows between C's layers, and the limits that keep files and functions readable.

Read from the sources themselves: includes, calls, lengths. Each check is tried on a bad example
too, so that a check that checks nothing fails.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sources import C_ASIDE, C_FILES, CSRC, PACKAGE, ROOT, name_of, read

pytestmark = pytest.mark.skipif(not CSRC.exists(), reason="the sources are not beside the tests")

# Kernels are compiled per instruction set from shared sources, over the set's own vectors.
KERNEL_SOURCES = {"dense_simd.h", "short_simd.h", "wide_simd.h", "rows_simd.h", "math_simd.h"}
KERNEL_SOURCES |= {"layer.h", "lane.h"}
VECTORS = {"simd_avx2.h", "simd_avx512.h", "simd_neon.h", "simd_scalar.h"}
PUBLIC = {"trpo.h", "trpo_env.h", "trpo_random.h"}
# What a file of each folder may include of ours.
MAY_INCLUDE = {
    "include": {"trpo.h", "trpo_random.h", "trpo_settings.h"},
    "memory": set(),
    "kernels": {"kernels.h", "trpo.h", "arena.h", *KERNEL_SOURCES, *VECTORS},
    "core": {"work.h", "theory.h", "critic.h", "rng.h", "arena.h", "kernels.h", *PUBLIC}
    | {"trpo_settings.h"},
    "envs": {"envs.h", "trpo_env.h", "arena.h"},
    "executor": {"cores.h", "trpo_pool.h"},
    "examples": {"trpo.h", "trpo_env.h"},
}
# And of the C library: no allocation, no output, in kernels, core and envs. The pool of threads is
# the host's: it alone allocates, starts threads and asks the system.
LIBRARY = {"arm_neon.h", "immintrin.h", "limits.h", "math.h", "stddef.h", "stdint.h", "string.h"}
SYSTEM = {"fenv.h", "pthread.h", "sched.h", "signal.h", "stdio.h", "stdlib.h", "time.h", "unistd.h"}
SYSTEM |= {"windows.h"}
FORBIDDEN_CALLS = {"exit", "abort", "assert", "rand", "srand", "longjmp", "alloca"}
FORBIDDEN_CALLS |= {"printf", "fprintf", "puts", "fputs", "putchar"}
EXECUTOR_S_CALLS = {"malloc", "calloc", "realloc", "free", "fopen"}
FORBIDDEN_FLAGS = re.compile(
    r"-Ofast|-ffast-math|-funsafe-math|-fassociative-math|/fp:fast|-fopenmp"
)


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)


def without_strings(text):
    return re.sub(r'"(\\.|[^"\\\n])*"|\'(\\.|[^\'\\\n])*\'', '""', text)


def includes(text):
    """(ours, the library's): file names without folders."""
    ours = {Path(name).name for name in re.findall(r'^\s*#\s*include\s*"([^"]+)"', text, re.M)}
    return ours, set(re.findall(r"^\s*#\s*include\s*<([^>]+)>", text, re.M))


def wrong_includes(folder, text):
    ours, library = includes(text)
    bad = ours - MAY_INCLUDE[folder]
    if folder == "examples":
        return bad
    return bad | (library - LIBRARY - (SYSTEM if folder == "executor" else set()))


def among(files, wrong):
    """{file: what is wrong with it}; wrong: takes a path."""
    found = {name_of(path): wrong(path) for path in files}
    return {name: what for name, what in found.items() if what}


def test_includes_point_one_way():
    assert among(C_FILES, lambda path: wrong_includes(path.parent.name, read(path))) == {}
    assert wrong_includes("kernels", '#include "../core/work.h"\n') == {"work.h"}
    assert wrong_includes("core", "# include <stdio.h>\n") == {"stdio.h"}
    assert wrong_includes("core", '#include "../include/trpo_pool.h"') == {"trpo_pool.h"}
    assert wrong_includes("executor", '#include "../core/work.h"') == {"work.h"}
    assert wrong_includes("executor", "#include <pthread.h>\n#include <omp.h>") == {"omp.h"}
    assert wrong_includes("examples", '#include "../core/work.h"\n#include <stdio.h>') == {"work.h"}
    assert {p.parent.name for p in C_FILES} == set(MAY_INCLUDE)


# {instruction set: the header that is compiled for it alone}.
SETS = {"avx2": "simd_avx2.h", "avx512": "simd_avx512.h", "neon": "simd_neon.h"}


def wrong_vectors(name, text):
    """Headers of vectors, or of intrinsics, that a file of this name must not include."""
    own = {header for each, header in SETS.items() if name.endswith(f"_{each}.c")}
    ours, library = includes(text)
    intrinsics = set() if name in SETS.values() else library & {"immintrin.h", "arm_neon.h"}
    return (ours & set(SETS.values())) - own | intrinsics


def test_vectors_stay_in_the_files_of_their_instruction_set():
    """One file too many, and a machine without the set would meet it."""
    assert among(C_FILES, lambda path: wrong_vectors(path.name, read(path))) == {}
    text = '#include <immintrin.h>\n#include "simd_avx512.h"\n'
    assert wrong_vectors("dense_avx512.c", text) == {"immintrin.h"}
    assert wrong_vectors("dense_avx2.c", text) == {"immintrin.h", "simd_avx512.h"}
    assert wrong_vectors("gaussian.c", text) == {"immintrin.h", "simd_avx512.h"}
    assert wrong_vectors("simd_avx2.h", text) == {"simd_avx512.h"}
    assert not wrong_vectors("short_avx512.c", '#include "simd_avx512.h"\n')


def test_every_set_is_offered_by_dispatch():
    """A table per file dense_<set>.c, under its name; a machine that can run it finds it."""
    kernels = CSRC / "kernels"
    found = {p.stem.removeprefix("dense_") for p in kernels.glob("dense_*.c")}
    assert found == set(SETS)
    offered = calls(read(kernels / "dispatch.c"))
    for each in (*found, "baseline"):
        file = kernels / ("baseline.c" if each == "baseline" else f"dense_{each}.c")
        assert f"trpok_{each}" in offered
        assert f'TRPOK_TABLE("{each}", &trpok_wide_' in read(file)
        assert f"trpok_{each}" in {name for name, _, _ in definitions(read(file))}


def calls(text):
    """Names before an opening parenthesis, outside comments and strings."""
    return set(re.findall(r"\b([A-Za-z_]\w*)\s*\(", without_strings(without_comments(text))))


def wrong_calls(folder, text):
    forbidden = FORBIDDEN_CALLS if folder == "executor" else FORBIDDEN_CALLS | EXECUTOR_S_CALLS
    return calls(text) & forbidden


GLOBAL_STATE = re.compile(r"^static (?!const|inline)[^(;{]*[;=]", re.M)


def test_the_core_allocates_prints_and_exits_nowhere():
    """Nor has it global state. The executor allocates, and is like it in all else."""
    rooms = ("core", "kernels", "envs", "executor")
    files = [path for path in C_FILES if path.parent.name in rooms]
    assert among(files, lambda path: wrong_calls(path.parent.name, read(path))) == {}
    assert among(files, lambda path: GLOBAL_STATE.search(read(path))) == {}
    text = 'x = malloc (3); /* free(x) */ s = "exit(1)"; // puts("")\n'
    assert wrong_calls("core", text) == {"malloc"}
    assert wrong_calls("executor", text + "printf(s);") == {"printf"}
    assert GLOBAL_STATE.search("static int n;\n")


def distribution_switches(text):
    """Comparisons with one distribution, and cases of a switch over them."""
    table = read(CSRC / "kernels" / "kernels.h").partition("#define TRPOK_DISTRIBUTIONS")[2]
    names = "|".join(re.findall(r"ENTRY\((\w+)\)", table))
    one = rf"(?i:TRPO_(?:{names})|&trpok_(?:{names}))"
    return re.findall(rf"[!=]=\s*{one}\b|{one}\s*[!=]=|case\s+{one}\b", without_comments(text))


@pytest.mark.parametrize("path", C_FILES, ids=name_of)
def test_no_code_asks_which_distribution_it_has(path):
    """What differs between distributions is in their entries of the table (kernels.h)."""
    assert not distribution_switches(read(path))


def test_a_switch_over_distributions_is_seen():
    assert distribution_switches("if (s->distribution != TRPO_CATEGORICAL) return;")
    assert distribution_switches("switch (x) { case TRPO_GAUSSIAN: break; }")
    assert distribution_switches("if (m->dist == &trpok_bernoulli) return;")
    assert not distribution_switches("s->distribution = TRPO_GAUSSIAN;")


def definitions(text):
    """(name, lines, body) of each function: its header stands at the left margin."""
    text = without_comments_same_lines(text)
    for found in re.finditer(
        r"^(?!#|typedef|struct|enum|extern)\w[^;{}=#]*?\b(\w+)\([^;{}]*\)\n\{", text, re.M
    ):
        end = text.index("\n}", found.end())
        yield found[1], text[found.start() : end].count("\n") + 2, text[found.end() : end]


def without_comments_same_lines(text):
    return re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL)


def too_large(text):
    """What is too large of a C file: the file, lines by their number, functions by their name."""
    lines = text.splitlines()
    found = ["file"] if len(lines) > 400 else []
    found += [number for number, line in enumerate(lines, 1) if len(line) > 100]
    return found + [name for name, length, _ in definitions(text) if length > 60]


def test_c_files_lines_and_functions_are_short():
    assert among([*C_FILES, *C_ASIDE], lambda path: too_large(read(path))) == {}
    assert not too_large("/" * 100 + "\n" * 400)
    assert too_large("\n" + "/" * 101) == [2]
    assert too_large("\n" * 401) == ["file"]
    assert too_large("int f(void)\n{\n" + "\n" * 58 + "}\n") == ["f"]
    assert len(C_ASIDE) > 15


def test_all_functions_are_found():
    """By their brace at the left margin, which nothing else has."""
    found = set()
    for path in C_FILES:
        names = [name for name, _, _ in definitions(read(path))]
        assert len(names) == read(path).count("\n{\n"), name_of(path)
        found.update(names)
    assert {"trpo_update", "trpo_gradient", "trpok_named", "dense_forward", "main"} <= found
    long = "static int f(int a,\n             int b)\n{\n" + "    a++;\n" * 60 + "}\n"
    assert [(name, lines) for name, lines, _ in definitions(long)] == [("f", 64)]


# Files of csrc/core that are no stage: what all stages stand on.
SHARED = {"blocks.c", "network.c", "masks.c", "layout.c", "policy.c", "settings.c", "status.c"}
SHARED |= {"minibatch.c"}
# Only update.c runs the stages. Within one, these calls are the design's: CG multiplies, the critic
# is fitted by the policy's machinery, rows are normalised and valued as they come, rewards are
# scaled before they are used.
BETWEEN_STAGES = {
    "advantages.c": {"normalizer.c", "rollout.c"},
    "collect.c": {"features.c", "rollout.c"},
    "features.c": {"normalizer.c"},
    "rollout.c": {"critic.c", "features.c"},
    "cg.c": {"fisher.c", "preconditioner.c"},
    "critic.c": {"cg.c", "fisher.c", "gradient.c", "preconditioner.c"},
    "layout.c": {"features.c", "serialize.c"},
    "serialize.c": {"features.c", "rollout.c"},
}


def stage_calls():
    """{file: the other stages' files whose functions it calls}."""
    core = [p for p in C_FILES if p.parent.name == "core" and p.suffix == ".c"]
    home = {
        name: path.name
        for path in core
        for name, _, _ in definitions(read(path))
        if name.startswith("trpo_")
    }
    return {
        path.name: {home[c] for c in calls(read(path)) if c in home} - {path.name} - SHARED
        for path in core
    }


def test_only_the_update_runs_the_stages():
    found = stage_calls()
    stages = {"advantages.c", "gradient.c", "cg.c", "line_search.c", "critic.c", "normalizer.c"}
    assert stages <= found.pop("update.c")
    found.pop("theory.c")  # each stage by itself
    for name, called in found.items():
        assert called <= BETWEEN_STAGES.get(name, set()), name


def undocumented(header):
    """Public functions without a comment above their group, or beside them."""
    bad = []
    blocks = re.split(r"\n\s*\n", header)
    for block in blocks:
        for found in re.finditer(r"^[\w ]+[ *](trpo_\w+)\([^;{]*\);([^\n]*)", block, re.M):
            if "*/" not in block[: found.start()] and "/*" not in found[2]:
                bad.append(found[1])
    return bad


def test_every_public_function_is_documented():
    header = read(CSRC / "include" / "trpo.h") + read(CSRC / "include" / "trpo_env.h")
    public = set(re.findall(r"^[\w ]+[ *](trpo_\w+)\([^;{]*\);", header, re.M))
    assert {"trpo_init", "trpo_update", "trpo_save", "trpo_envs_init", "trpo_envs_step"} <= public
    # Those whose names say it all.
    evident = {"trpo_default_settings", "trpo_get_culprit"}
    evident |= {"trpo_envs_count", "trpo_envs_spec", "trpo_envs_outcome"}
    assert set(undocumented(header)) <= evident
    assert undocumented("/* a */\n\nint trpo_new(int a);\n") == ["trpo_new"]


def test_public_names_have_the_prefix():
    for path in C_FILES:
        prefixes = {"kernels": "trpok_", "core": "trpo_", "executor": "trpo_", "envs": "trpo_env"}
        prefix = prefixes.get(path.parent.name)
        if prefix and path.suffix == ".c":
            text = without_comments_same_lines(read(path))
            public = re.findall(
                r"^(?!static|typedef)\w[^;{}=#\n]*?\b(\w+)\([^;{}]*\)\n\{", text, re.M
            )
            assert all(name.startswith(prefix) for name in public), name_of(path)


def test_no_flag_lets_the_compiler_reorder_arithmetic():
    files = [ROOT / "setup.py", ROOT / "pyproject.toml", *PACKAGE.glob("*.p[yx]*")]
    files += [p for p in (ROOT / ".ci").rglob("*") if p.is_file()] + list(CSRC.rglob("*.*"))
    files += [p for p in (ROOT / "tests").rglob("*.[pc]*") if p != Path(__file__)]
    for path in files:
        if path.suffix in (".so", ".pyd", ".pyc", ".o", ".npz"):
            continue
        assert not FORBIDDEN_FLAGS.search(read(path)), name_of(path)
    assert FORBIDDEN_FLAGS.search("cc -O2 -ffast-math")
