"""Include directions between C's layers, and limits that keep files and functions readable.

Read from the sources: includes, calls, lengths. Each check also runs on a bad example, so a check
that checks nothing fails.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sources import C_ASIDE, C_FILES, CSRC, PACKAGE, ROOT, name_of, read

pytestmark = pytest.mark.skipif(not CSRC.exists(), reason="the sources are not beside the tests")

# Kernels are compiled per instruction set from shared sources, on the set's vector types.
KERNEL_SOURCES = {"dense_simd.h", "short_simd.h", "wide_simd.h", "rows_simd.h", "math_simd.h"}
KERNEL_SOURCES |= {"layer.h", "lane.h", "table_simd.h"}
VECTORS = {"simd_avx2.h", "simd_avx512.h", "simd_x86.h", "simd_neon.h", "simd_scalar.h"}
PUBLIC = {"trpo.h", "trpo_env.h", "trpo_random.h", "trpo_bindings.h"}
# The elementary functions, and what they need.
MATH = {"trpo_math.h", "trpo_math_angles.h", "trpo_math_tables.h", "trpo_strict.h"}
# Our headers that a file of each folder may include.
MAY_INCLUDE = {
    "include": {"trpo.h", "trpo_env.h", "trpo_files.h", "trpo_random.h", "trpo_settings.h", *MATH},
    "memory": {"trpo_strict.h", "trpo_env.h"},
    "kernels": {
        "kernels.h",
        "trpo.h",
        "arena.h",
        "strict.h",
        "trpo_math.h",
        *KERNEL_SOURCES,
        *VECTORS,
    },
    "core": {
        "work.h",
        "strict.h",
        "theory.h",
        "critic.h",
        "file.h",
        "rng.h",
        "arena.h",
        "kernels.h",
        *PUBLIC,
    }
    | {"trpo_settings.h", "batch_calls.h"},
    "envs": {"envs.h", "trpo.h", "trpo_env.h", "arena.h", "strict.h", "batch_calls.h"},
    "executor": {"cores.h", "trpo_pool.h"},
    "examples": {"trpo.h", "trpo_env.h", "trpo_math.h", "trpo_pool.h"},
}
# And the C library's: kernels, core and envs neither allocate nor print. The thread pool belongs to
# the host: it alone allocates, starts threads and calls the system.
LIBRARY = {
    "arm_neon.h",
    "float.h",
    "immintrin.h",
    "limits.h",
    "math.h",
    "stddef.h",
    "stdint.h",
    "string.h",
}
X86 = {"smmintrin.h", "avxintrin.h", "avx2intrin.h", "fmaintrin.h"}
X86 |= {"avx512fintrin.h", "avx512dqintrin.h"}
LIBRARY |= X86
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
    """(our headers, the library's headers), as file names without folders."""
    ours = {Path(name).name for name in re.findall(r'^\s*#\s*include\s*"([^"]+)"', text, re.M)}
    return ours, set(re.findall(r"^\s*#\s*include\s*<([^>]+)>", text, re.M))


def wrong_includes(folder, text):
    ours, library = includes(text)
    bad = ours - MAY_INCLUDE[folder]
    if folder == "examples":
        return bad
    return bad | (library - LIBRARY - (SYSTEM if folder == "executor" else set()))


def among(files, wrong):
    """{file: problems}, for files with problems. wrong: a function of a path."""
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


# {instruction set: the header only its files may include}.
SETS = {"avx2": "simd_avx2.h", "avx512": "simd_avx512.h", "neon": "simd_neon.h"}


def wrong_vectors(name, text):
    """Vector or intrinsics headers that a file of this name must not include."""
    own = {header for each, header in SETS.items() if name.endswith(f"_{each}.c")}
    ours, library = includes(text)
    intrinsics = library & {"immintrin.h", "arm_neon.h", *X86}
    if name in ("simd_x86.h", "simd_neon.h"):
        intrinsics = set()
    if name in ("simd_avx2.h", "simd_avx512.h"):
        own.add("simd_x86.h")
    return (ours & {*SETS.values(), "simd_x86.h"}) - own | intrinsics


def test_vectors_stay_in_the_files_of_their_instruction_set():
    """Elsewhere they would crash on machines without the set."""
    assert among(C_FILES, lambda path: wrong_vectors(path.name, read(path))) == {}
    text = '#include <immintrin.h>\n#include "simd_avx512.h"\n'
    assert wrong_vectors("dense_avx512.c", text) == {"immintrin.h"}
    assert wrong_vectors("dense_avx2.c", text) == {"immintrin.h", "simd_avx512.h"}
    assert wrong_vectors("gaussian.c", text) == {"immintrin.h", "simd_avx512.h"}
    assert wrong_vectors("simd_avx2.h", text) == {"immintrin.h", "simd_avx512.h"}
    assert wrong_vectors("gaussian.c", '#include "simd_x86.h"\n') == {"simd_x86.h"}
    assert not wrong_vectors("simd_x86.h", "#include <immintrin.h>\n")
    assert not wrong_vectors("simd_avx2.h", '#include "simd_x86.h"\n')
    assert not wrong_vectors("short_avx512.c", '#include "simd_avx512.h"\n')


def test_every_set_is_offered_by_dispatch():
    """Each file dense_<set>.c has a table of its name, and dispatch lists it."""
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
    """Names followed by an opening parenthesis, outside comments and strings."""
    return set(re.findall(r"\b([A-Za-z_]\w*)\s*\(", without_strings(without_comments(text))))


def wrong_calls(folder, text):
    forbidden = FORBIDDEN_CALLS if folder == "executor" else FORBIDDEN_CALLS | EXECUTOR_S_CALLS
    return calls(text) & forbidden


GLOBAL_STATE = re.compile(r"^static (?!const|inline)[^(;{]*[;=]", re.M)


def test_the_core_never_allocates_prints_or_exits():
    """Nor has it global state. The executor may allocate, but nothing else of these."""
    rooms = ("core", "kernels", "envs", "executor")
    files = [path for path in C_FILES if path.parent.name in rooms]
    assert among(files, lambda path: wrong_calls(path.parent.name, read(path))) == {}
    assert among(files, lambda path: GLOBAL_STATE.search(read(path))) == {}
    text = 'x = malloc (3); /* free(x) */ s = "exit(1)"; // puts("")\n'
    assert wrong_calls("core", text) == {"malloc"}
    assert wrong_calls("executor", text + "printf(s);") == {"printf"}
    assert GLOBAL_STATE.search("static int n;\n")


def distribution_switches(text):
    """Comparisons with a single distribution, and cases of a switch over distributions."""
    table = read(CSRC / "kernels" / "kernels.h").partition("#define TRPOK_DISTRIBUTIONS")[2]
    names = "|".join(re.findall(r"ENTRY\((\w+)\)", table))
    one = rf"(?i:TRPO_(?:{names})|&trpok_(?:{names}))"
    return re.findall(rf"[!=]=\s*{one}\b|{one}\s*[!=]=|case\s+{one}\b", without_comments(text))


def test_no_c_code_compares_distributions():
    """Differences between distributions belong in the entries of the table (kernels.h)."""
    assert among(C_FILES, lambda path: distribution_switches(read(path))) == {}
    assert distribution_switches("if (s->distribution != TRPO_CATEGORICAL) return;")
    assert distribution_switches("switch (x) { case TRPO_GAUSSIAN: break; }")
    assert distribution_switches("if (m->dist == &trpok_bernoulli) return;")
    assert not distribution_switches("s->distribution = TRPO_GAUSSIAN;")


def definitions(text):
    """(name, lines, body) of each function. Headers start at the left margin."""
    text = blank_comments(text)
    for found in re.finditer(
        r"^(?!#|typedef|struct|enum|extern)\w[^;{}=#]*?\b(\w+)\([^;{}]*\)\n\{", text, re.M
    ):
        end = text.index("\n}", found.end())
        yield found[1], text[found.start() : end].count("\n") + 2, text[found.end() : end]


def blank_comments(text):
    return re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL)


def too_large(text):
    """What exceeds the limits: "file", numbers of lines, names of functions."""
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
    """As many as there are opening braces at the left margin, which only functions have."""
    found = set()
    for path in C_FILES:
        names = [name for name, _, _ in definitions(read(path))]
        assert len(names) == read(path).count("\n{\n"), name_of(path)
        found.update(names)
    assert {"trpo_update", "trpo_gradient", "trpok_named", "dense_forward", "main"} <= found
    long = "static int f(int a,\n             int b)\n{\n" + "    a++;\n" * 60 + "}\n"
    assert [(name, lines) for name, lines, _ in definitions(long)] == [("f", 64)]


# Files of csrc/core that are not stages: every stage uses them.
SHARED = {"blocks.c", "network.c", "masks.c", "layout.c", "policy.c", "settings.c", "status.c"}
SHARED |= {"minibatch.c", "file.c", "fields.c"}
# Only update.c runs the stages. These calls between stages are part of the design: CG multiplies,
# the critic is fitted with the policy's code, rows are normalised and valued on arrival, rewards
# are scaled before use.
BETWEEN_STAGES = {
    "advantages.c": {"normalizer.c", "rollout.c"},
    "collect.c": {"features.c", "rollout.c"},
    "features.c": {"normalizer.c"},
    "rollout.c": {"critic.c", "features.c"},
    "cg.c": {"fisher.c", "preconditioner.c"},
    "critic.c": {"cg.c", "fisher.c", "gradient.c", "preconditioner.c"},
    "layout.c": {"features.c"},
    "fields.c": {"features.c", "normalizer.c"},
    "saved_settings.c": {"serialize.c"},
    "serialize.c": {"format2.c", "saved_settings.c"},
    "inference.c": {"features.c", "normalizer.c", "rollout.c", "saved_settings.c", "serialize.c"},
}


def stage_calls():
    """{file: files of other stages that it calls}."""
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
    found.pop("theory.c")  # runs single stages
    for name, called in found.items():
        assert called <= BETWEEN_STAGES.get(name, set()), name


def undocumented(header):
    """Public functions without a comment above their group or on their line."""
    bad = []
    blocks = re.split(r"\n\s*\n", header)
    for block in blocks:
        for found in re.finditer(r"^[\w ]+[ *](trpo_\w+)\([^;{]*\);([^\n]*)", block, re.M):
            if "*/" not in block[: found.start()] and "/*" not in found[2]:
                bad.append(found[1])
    return bad


def test_every_public_function_is_documented():
    headers = ("trpo.h", "trpo_files.h", "trpo_env.h")
    header = "".join(read(CSRC / "include" / name) for name in headers)
    public = set(re.findall(r"^[\w ]+[ *](trpo_\w+)\([^;{]*\);", header, re.M))
    assert {"trpo_init", "trpo_update", "trpo_save", "trpo_envs_init", "trpo_envs_step"} <= public
    # Their names are enough.
    evident = {"trpo_default_settings", "trpo_get_culprit"}
    evident |= {"trpo_envs_count", "trpo_envs_spec", "trpo_envs_outcome"}
    assert set(undocumented(header)) <= evident
    assert undocumented("/* a */\n\nint trpo_new(int a);\n") == ["trpo_new"]


def test_public_names_have_the_prefix():
    for path in C_FILES:
        prefixes = {"kernels": "trpok_", "core": "trpo_", "executor": "trpo_"}
        prefixes["envs"] = ("trpo_env", "trpo_settings_for_env")
        prefix = prefixes.get(path.parent.name)
        if prefix and path.suffix == ".c":
            text = blank_comments(read(path))
            public = re.findall(
                r"^(?!static|typedef)\w[^;{}=#\n]*?\b(\w+)\([^;{}]*\)\n\{", text, re.M
            )
            assert all(name.startswith(prefix) for name in public), name_of(path)


def test_no_flag_lets_the_compiler_reorder_arithmetic():
    files = [ROOT / "setup.py", ROOT / "pyproject.toml", *PACKAGE.glob("*.p[yx]*")]
    files += [p for p in (ROOT / ".ci").rglob("*") if p.is_file()]
    files += [p for p in CSRC.rglob("*.*") if "target" not in p.parts]  # cargo's output
    files += [p for p in (ROOT / "tests").rglob("*.[pc]*") if p != Path(__file__)]
    for path in files:
        if path.suffix in (".so", ".pyd", ".pyc", ".o", ".npz"):
            continue
        assert not FORBIDDEN_FLAGS.search(read(path)), name_of(path)
    assert FORBIDDEN_FLAGS.search("cc -O2 -ffast-math")
