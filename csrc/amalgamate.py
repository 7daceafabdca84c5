"""Makes two files of the C library, to drop into a program: fasttrpo.h and fasttrpo.c.

    python csrc/amalgamate.py DIR

`fasttrpo embed DIR` writes the same files. The bytes depend on the sources alone.

The sources follow one another in one file, so what two of them define under one name gets the
source's name as a suffix (`reset` becomes `reset_cartpole_c`), and their macros end with them.
Headers are inserted where they are first included; those that are compiled per instruction set, and
lists, wherever they are included.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

CSRC = Path(__file__).resolve().parent
FOLDERS = ("kernels", "core", "envs", "executor")
# When a file counts, by its folder or its suffix. For C++ only in programs, not in fasttrpo.c.
CONDITIONS = {
    "envs": "!defined(TRPO_NO_ENVS)",
    "executor": "!defined(TRPO_NO_POOL)",
    ".hpp": "defined(__cpp_exceptions) && !defined(TRPO_STRICT_NOTICED)",
}
# Headers that mean something else in each source, or are lists.
REPEATED = re.compile(r"kernels/(\w*simd\w*|lane)\.h|include/trpo_settings\.h")

HEAD = """\
/* {name}: fasttrpo {version}, {what}.
 *
 * Trust Region Policy Optimization in C99 and C++11, for programs that train or run a policy
 * in-process. Two files, fasttrpo.h and fasttrpo.c, are all of it. They are made from the sources
 * by `fasttrpo embed` (pip install fasttrpo): change those rather than these.
 *
 *     cc -O3 my_simulator.c fasttrpo.c -lm -pthread
 *
 * needs no other flags: vectors for the processor are chosen at run time, and flags do not change
 * the bits of results. fasttrpo.h says how to train; in C++ it also makes environments of classes.
 * Define the same of these for all files:
 *
 *     TRPO_DOUBLE    trpo_real is double instead of float
 *     TRPO_NO_SIMD   portable C only: the bits of the instruction set "baseline"
 *     TRPO_NO_POOL   without the thread pool: no -pthread, no allocation, no input or output
 *     TRPO_NO_ENVS   without batches of environments in C and the built-in ones
 *
{licence}
 */
"""
PREAMBLE = """\
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getaffinity */
#endif

#define TRPO_STRICT_FILE
#define TRPO_STRICT_NOTICED
#include "fasttrpo.h"

TRPO_STRICT_BEGIN

#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunused-function" /* each source uses a part of its headers */
#endif
"""
POSTSCRIPT = """\
#if defined(__clang__)
#pragma clang diagnostic pop
#endif

TRPO_STRICT_END
"""

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"[^\n]*\n', re.M)
GUARD = re.compile(r"^#ifndef (\w+)\n#define \1\n(.*)^#endif\n\s*\Z", re.M | re.S)
BY_MACRO = re.compile(r"^[A-Z_]+\((\w+)[^)]*\)$", re.M)
MACRO = re.compile(r"^[ \t]*#[ \t]*(define|undef)[ \t]+(\w+)", re.M)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.M)
ASIDE = r"/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
WORD = re.compile(ASIDE + r"|(?:->|\.)[ \t]*[A-Za-z_]\w*|\b[A-Za-z_]\w*", re.S)


def amalgamate(csrc: Path = CSRC) -> dict[str, str]:
    """The texts of the two files, by name."""
    version = re.search(r'#define TRPO_VERSION "(.*)"', read(csrc / "include/trpo.h"))
    if version is None:
        raise ValueError(f"{csrc}/include/trpo.h does not define TRPO_VERSION")
    licence = re.sub(r"^", " * ", read(csrc.parent / "LICENSE").strip(), flags=re.M)
    facts = {"version": version[1], "licence": re.sub(r" +$", "", licence, flags=re.M)}
    done: set[Path] = set()
    paths = [path for end in ("h", "hpp") for path in sorted(csrc.glob(f"include/*.{end}"))]
    public = [whole(path, done) for path in paths if not (is_repeated(path) or path in done)]
    return {
        "fasttrpo.h": HEAD.format(name="fasttrpo.h", what="the header", **facts)
        + "\n#ifndef FASTTRPO_H\n#define FASTTRPO_H\n\n"
        + "\n".join([*public, "#endif\n"]),
        "fasttrpo.c": HEAD.format(name="fasttrpo.c", what="the code", **facts)
        + "\n".join([PREAMBLE, *sources(csrc, done), POSTSCRIPT]),
    }


def read(path: Path) -> str:
    """A file's text."""
    return path.read_text(encoding="utf-8").replace("\r\n", "\n")


def included(path: Path) -> list[Path]:
    """Our headers that a file includes."""
    return [(path.parent / name).resolve() for name in INCLUDE.findall(read(path))]


def is_repeated(path: Path) -> bool:
    """Whether a header is inserted wherever it is included."""
    return REPEATED.search(path.as_posix()) is not None


def shared(path: Path, done: set[Path]) -> Iterator[str]:
    """The headers, not done yet, that a source shares with others."""
    for each in included(path):
        if is_repeated(each):
            yield from shared(each, done)
        elif each not in done:
            yield whole(each, done)


def whole(path: Path, done: set[Path]) -> str:
    """A header with others in it where it is the first to include them."""
    done.add(path)

    def insert(include: re.Match[str]) -> str:
        header = (path.parent / include[1]).resolve()
        if is_repeated(header):
            return read(header)
        return "" if header in done else whole(header, done)

    return part(path, INCLUDE.sub(insert, read(path)))


def sources(csrc: Path, done: set[Path]) -> Iterator[str]:
    """The C files, each after the headers that it is the first to need."""
    paths = [path for folder in FOLDERS for path in sorted(csrc.glob(f"{folder}/*.c"))]
    texts = {path: inserted(path, set()) for path in paths}
    names = {path: set(defined(text)) for path, text in texts.items()}
    count = Counter(name for each in names.values() for name in each)
    for path, text in texts.items():
        yield from shared(path, done)
        clashing = {name for name in names[path] if count[name] > 1}
        yield part(path, suffixed(text, clashing, f"_{path.stem}_c") + forgotten(text))


def part(path: Path, text: str) -> str:
    """A file's text under its name, within its condition."""
    title = f"/* ==== {path.parent.name}/{path.name} "
    condition = CONDITIONS.get(path.parent.name) or CONDITIONS.get(path.suffix)
    text = f"{text.strip()}\n"
    return f"{title:=<97} */\n\n" + (f"#if {condition}\n{text}#endif\n" if condition else text)


def inserted(path: Path, seen: set[Path]) -> str:
    """A file's text, with the headers in it that are inserted wherever they are included."""
    text = read(path)
    if is_repeated(path) and GUARD.search(text):
        if path in seen:
            return ""
        seen.add(path)
        text = GUARD.sub(r"\2", text)

    def insert(include: re.Match[str]) -> str:
        header = (path.parent / include[1]).resolve()
        return inserted(header, seen) if is_repeated(header) else ""

    return INCLUDE.sub(insert, text)


def suffixed(text: str, names: set[str], suffix: str) -> str:
    """The text with the suffix after each of the names, but for fields, strings and comments."""
    return WORD.sub(lambda word: word[0] + suffix if word[0] in names else word[0], text)


def forgotten(text: str) -> str:
    """Lines that undefine what is still defined after a C file, but for the system's macros."""
    last = {name: what for what, name in MACRO.findall(text) if not name.endswith("_SOURCE")}
    return "".join(f"\n#undef {name}" for name, what in last.items() if what == "define")


# ---- what a C file defines -----------------------------------------------------------------------


def defined(text: str) -> Iterator[str]:
    """The names of the functions, variables, types and enumerators that a C file defines."""
    code = DIRECTIVE.sub("", re.sub(ASIDE, '""', text, flags=re.S))
    yield from BY_MACRO.findall(code)
    for enumerators in re.findall(r"\benum\b[^{;()]*\{([^}]*)\}", code):
        yield from re.findall(r"(?:^|,)\s*(\w+)", enumerators)
    for statement in re.split(r";|\)\s*\{\}", outermost(BY_MACRO.sub("", code))):
        yield from re.findall(r"\b(?:struct|union|enum) (\w+) \{", statement)
        if "typedef" in statement:
            yield from re.findall(r"(\w+)\s*$", statement)
        elif function := re.search(r"\b(?!__)(\w+)\(", statement):
            yield function[1]
        else:  # a declaration of variables
            yield from re.findall(r"(\w+)(?:\[\])*\s*(?:=[^,]*)?(?:,|$)", statement)


def outermost(code: str) -> str:
    """The code without what is between brackets."""
    kept, depth = [], 0
    for character in code:
        depth -= character in ")}]"
        if depth == 0:
            kept.append(character)
        depth += character in "({["
    return "".join(kept)


def write(folder: Path) -> None:
    """Writes the two files into a folder, replacing what has their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in amalgamate().items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def main(arguments: list[str]) -> int:
    """Runs the script; returns the exit code."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    write(Path(arguments[0]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
