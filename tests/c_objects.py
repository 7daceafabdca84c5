"""The C core's objects, compiled once for all tests that link with them.

Environment variables:

    CC                 another compiler
    FASTTRPO_CFLAGS    flags for every compilation and link, for example sanitizers
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
# The core and the environments; they do not need the thread pool.
CORE = sorted(p for part in ("core", "kernels", "envs") for p in CSRC.glob(f"{part}/*.c"))
POOL = sorted(CSRC.glob("executor/*.c"))

CC = os.environ.get("CC", "cc")
# Nothing about contraction: the sources see to it (csrc/memory/strict.h).
FLAGS = ["-O2", *shlex.split(os.environ.get("FASTTRPO_CFLAGS", ""))]
PRECISIONS = {"float32": [], "float64": ["-DTRPO_DOUBLE"]}

# A 64-bit Arm machine, emulated: Debian's gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user.
ARM_CC, ARM = "aarch64-linux-gnu-gcc", "qemu-aarch64"
# Other optimisation levels than FLAGS; -O3 takes twice as long to compile.
ARM_LEVELS = {"float32": "-O3", "float64": "-O1"}


def run(command: list[str], **keywords) -> str:
    """The command's output. Any exit status but 0 fails the test and shows all output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **keywords)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def compile_once(compiler: list[str], sources: list[Path], name: str, factory) -> list[Path]:
    """Object files shared by all pytest-xdist processes. The first compiles them, on all cores,
    and the others wait.
    """
    import fcntl

    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock, ThreadPoolExecutor(os.cpu_count()) as threads:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            commands = [[*compiler, "-c", str(source)] for source in sources]
            list(threads.map(lambda command: run(command, cwd=folder), commands))
            (folder / "done").touch()
    return [folder / f"{source.stem}.o" for source in sources]


def compile_core(precision: str, factory) -> list[Path]:
    """The core's objects in one precision."""
    return compile_once([CC, *FLAGS, *PRECISIONS[precision]], CORE, f"core_{precision}", factory)


def compile_pool(factory) -> list[Path]:
    """The pool's objects, which do not depend on the precision."""
    return compile_once([CC, *FLAGS], POOL, "pool", factory)


def command_in_header(source: Path) -> str:
    """The compile command in a source's first comment, on one line or more."""
    text = source.read_text().replace("\\\n *", "")
    command = re.search(r"^ \*\s+((?:cc|c\+\+) .*)$", text, re.MULTILINE)
    assert command, f"{source.name} has no compile command in its first comment"
    return command[1]


def arm_compiler(precision: str) -> list[str]:
    return [ARM_CC, "-static", "-fno-math-errno", ARM_LEVELS[precision], *PRECISIONS[precision]]


def compile_arm_core(precision: str, factory) -> list[Path]:
    """The core's objects for Arm, by another compiler at another optimisation level."""
    return compile_once(arm_compiler(precision), CORE, f"arm_{precision}", factory)
