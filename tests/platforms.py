"""Whether the core gives the same answer on every platform: `python tests/platforms.py [NAME...]`.

Compiles the C core and tests/c/hashes.c for each platform of the table below, or for those named,
in both precisions; trains with every instruction set, in an emulator where that is needed; compares
the hashes with tests/data/hashes.json; and prints a Markdown table. Skips a platform, and says why,
if a tool is missing. Exit status 1: a hash differs, or something cannot be compiled or run.

    --write     keep the hashes and the platforms that gave them: anew, or in addition if named

For all platforms: Debian's clang lld wasi-libc libclang-rt-dev-wasm32 nodejs musl-tools wine
mingw-w64 qemu-user gcc-{aarch64,riscv64,s390x}-linux-gnu libc6-dev-{arm64,riscv64,s390x}-cross
gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm, and PyPI's ziglang.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from platform import machine as processor
from typing import Any, NamedTuple

from c_objects import CORE, PRECISIONS, ROOT

PROGRAM = ROOT / "tests" / "c" / "hashes.c"
TABLE = ROOT / "tests" / "data" / "hashes.json"
HOSTS = ROOT / "tests" / "hosts"


class Platform(NamedTuple):
    """A machine, a compiler with its flags, and what runs its programs."""

    machine: str
    compiler: str
    run: str = ""  # the path of the program follows
    link: str = ""  # flags


NATIVE = "x86-64, glibc"
CORTEX = "-mcpu=cortex-m7 -mthumb -mfpu=fpv5-d16 -mfloat-abi=hard"
BOARD = "qemu-system-arm -M mps2-an500 -display none -serial none -monitor none -semihosting"
PLATFORMS = {
    "gcc": Platform(NATIVE, "gcc -O0"),
    "gcc-native": Platform(NATIVE, "gcc -O3 -march=native -ffp-contract=fast"),
    "g++": Platform(NATIVE, "g++ -O1"),
    "clang": Platform(NATIVE, "clang -O0"),
    "clang-native": Platform(NATIVE, "clang -O3 -march=native"),
    "musl": Platform("x86-64, musl", "musl-gcc -O2 -static"),
    "x86": Platform("x86 with SSE2, musl", "zig cc -target x86-linux-musl -mcpu=pentium4 -O2"),
    "aarch64": Platform("aarch64, glibc", "aarch64-linux-gnu-gcc -O2 -static", "qemu-aarch64"),
    "aarch64-clang": Platform(
        "aarch64, glibc", "clang --target=aarch64-linux-gnu -O2 -static", "qemu-aarch64"
    ),
    "arm": Platform(
        "32-bit Arm, musl", "zig cc -target arm-linux-musleabihf -mcpu=cortex_a15 -O2", "qemu-arm"
    ),
    "riscv64": Platform("riscv64, glibc", "riscv64-linux-gnu-gcc -O2 -static", "qemu-riscv64"),
    "s390x": Platform("s390x (big-endian), glibc", "s390x-linux-gnu-gcc -O2 -static", "qemu-s390x"),
    "powerpc64": Platform(
        "powerpc64 (big-endian), musl", "zig cc -target powerpc64-linux-musl -O2", "qemu-ppc64"
    ),
    "wasm32": Platform(
        "wasm32, wasi-libc",
        "clang --target=wasm32-wasi -O2",
        f"node --no-warnings {HOSTS}/wasi.mjs",
    ),
    "cortex-m7": Platform(
        "Cortex-M7, newlib",
        f"arm-none-eabi-gcc {CORTEX} -O2",
        f"{BOARD} -kernel",
        f"--specs=rdimon.specs -T {HOSTS}/cortex_m.ld {HOSTS}/cortex_m.s",
    ),
    "windows": Platform("x86-64, Windows", "x86_64-w64-mingw32-gcc -O2 -static", "wine"),
}


class Missing(Exception):
    """This machine lacks what a platform needs."""


class Failed(Exception):
    """The core cannot be compiled or run, or platforms differ."""


# ---- one platform --------------------------------------------------------------------------------


def command(text: str) -> list[str]:
    """A command of the table. Zig may be a Python package."""
    words = shlex.split(text)
    if words[0] == "zig" and not shutil.which("zig") and importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", *words[1:]]
    if not shutil.which(words[0]):
        raise Missing(f"there is no {words[0]}")
    return words


def output(words: list[str], folder: Path) -> str:
    """What the command prints. Wine keeps its files next to the folder."""
    variables = {**os.environ, "WINEDEBUG": "-all", "WINEPREFIX": str(folder.parent / "wine")}
    done = subprocess.run(
        words, cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        text = (done.stdout + done.stderr).strip() or f"exit status {done.returncode}"
        raise Failed(f"{shlex.join(words)}\n{text}")
    return done.stdout


def link(platform: Platform, objects: list[str], program: Path) -> None:
    """Makes the program of objects or sources in its folder."""
    flags = [*objects, *shlex.split(platform.link), "-lm"]
    output([*command(platform.compiler), "-o", str(program), *flags], program.parent)


def require(platform: Platform, folder: Path) -> None:
    """Raises Missing unless the machine can compile for the platform and run the result."""
    if platform.run:
        command(platform.run)
    elif processor() != "x86_64":
        raise Missing("this machine is not x86-64")
    (folder / "probe.c").write_text('#include <stdio.h>\nint main(void) { return puts("") < 0; }')
    try:
        link(platform, ["probe.c"], folder / "probe")
    except Failed as error:
        line = str(error).splitlines()[-1]
        raise Missing(f"{platform.compiler.split()[0]} links no program: {line}") from None


def build(platform: Platform, precision: str, folder: Path) -> Path:
    """The program for a platform in one precision, in a new folder."""
    folder.mkdir(parents=True)
    require(platform, folder)
    sources, flags = [*CORE, PROGRAM], [*PRECISIONS[precision], "-c"]
    jobs = [[*command(platform.compiler), *flags, str(source)] for source in sources]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(lambda job: output(job, folder), jobs))
    link(platform, [f"{source.stem}.o" for source in sources], folder / "hashes.exe")
    return folder / "hashes.exe"


def train(platform: Platform, program: Path, *sets: str) -> str:
    """What the program prints."""
    runner = command(platform.run) if platform.run else []
    return output([*runner, str(program), *sets], program.parent)


# ---- hashes --------------------------------------------------------------------------------------

# {"CartPole-v1": {"baseline float32": hash, ...}, ...}
Hashes = dict[str, dict[str, str]]


def add(total: Hashes, text: str, where: str) -> None:
    """Adds what a program printed; Failed if it contradicts what is there."""
    for line in text.splitlines():
        instruction_set, precision, value, name = line.split(None, 3)
        column = f"{'baseline' if instruction_set == 'baseline' else 'fused'} {precision}"
        if total.setdefault(name, {}).setdefault(column, value) != value:
            raise Failed(f"{name}, {precision}: {instruction_set} differs on {where}")


def kept() -> dict[str, Any]:
    """{"platforms": {name: description}, "hashes": Hashes}"""
    with TABLE.open(encoding="utf-8") as file:
        return json.load(file)


# ---- the table -----------------------------------------------------------------------------------


def version(text: str) -> str:
    """A tool with its version, the first number that it prints."""
    tool, *_ = shlex.split(text)
    flag = "version" if tool == "zig" else "--version"
    done = subprocess.run([*command(tool), flag], capture_output=True, text=True, check=False)
    number = re.search(r"\d+\.\d[\w.]*", done.stdout)
    return f"{tool} {number[0]}" if number else tool


def describe(platform: Platform, sets: list[str]) -> list[str]:
    """Cells of the table: machine, compiler, what runs it, instruction sets."""
    compiler = f"{version(platform.compiler)} {shlex.join(shlex.split(platform.compiler)[1:])}"
    return [
        platform.machine,
        compiler,
        version(platform.run) if platform.run else "",
        ", ".join(sets),
    ]


def check(name: str, total: Hashes, scratch: Path) -> list[str]:
    """Builds and trains on a platform; its cells of the table. Missing, Failed."""
    platform, own, sets = PLATFORMS[name], Hashes(), set()
    for precision in PRECISIONS:
        text = train(platform, build(platform, precision, scratch / name / precision))
        add(total, text, name)
        add(own, text, name)
        sets |= {line.split()[0] for line in text.splitlines()}
    if set(own) != set(total):
        raise Failed(f"other runs than in the table: {', '.join(sorted(set(own) ^ set(total)))}")
    return describe(platform, sorted(sets))


def run(chosen: list[str], table: dict[str, Any], scratch: Path) -> int:
    """Prints a row for each platform, and adds those that agree to the table. The exit status."""
    print("| machine | compiler | run by | instruction sets | result | s |")
    print("|---|---|---|---|---|---|")
    status = 0
    for name in chosen:
        start = time.monotonic()
        try:
            cells = check(name, table["hashes"], scratch)
            table["platforms"][name] = ", ".join(filter(None, cells))
            cells.append("equal")
        except Missing as error:
            cells = [name, "", "", "", f"skipped: {error}"]
        except Failed as error:
            cells, status = [name, "", "", "", f"FAILED: {error}".replace("\n", " ")], 1
        print("|", " | ".join([*cells, f"{time.monotonic() - start:.0f}"]), "|", flush=True)
    return status


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PLATFORMS))
    parser.add_argument("--write", action="store_true", help="write tests/data/hashes.json")
    given = parser.parse_args()
    if unknown := set(given.names) - set(PLATFORMS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    anew = given.write and not given.names
    table = {"platforms": {}, "hashes": {}} if anew else kept()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        status = run(given.names or list(PLATFORMS), table, Path(scratch))
    if given.write and status == 0:
        found = table["platforms"]
        table["platforms"] = {name: found[name] for name in PLATFORMS if name in found}
        TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
