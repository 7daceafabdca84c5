"""The machine: its description, and its rate of multiply-adds (bench/c/peak.c)."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import time
from pathlib import Path

import fasttrpo
from bench import ROOT
from fasttrpo.core import backend

CSRC = ROOT / "csrc"
CORE = {"core", "envs", "kernels", "executor"}
PACKAGES = ("numpy", "numba", "torch", "stable-baselines3", "sb3-contrib", "tianshou", "jax")


def describe() -> dict[str, object]:
    """What results depend on: processor, cores, instruction sets, system, compiler, versions."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "instruction sets": sorted(peak()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "compiler": _first_line([compiler(), "--version"]),
        "fasttrpo": fasttrpo.__version__,
        "library": _library(),
        "packages": {name: version(name) for name in PACKAGES},
        "time": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    }


def cores() -> int:
    """The number of cores available to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.*)", info.read_text()) if info.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def _library() -> str:
    """The kernels in use, and whether the library is built in place or installed."""
    where = "in place" if Path(fasttrpo.__file__).resolve().is_relative_to(ROOT) else "installed"
    found = backend.describe()
    return f"{found['backend']}, {found['instruction set']}, {where}"


def _first_line(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[0]


def version(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


# -- C programs -----------------------------------------------------------------------------------


def compiler() -> str:
    """The C compiler: CC, or cc. Raises RuntimeError if there is none."""
    name = os.environ.get("CC", "cc")
    if shutil.which(name) is None:
        raise RuntimeError(f"no C compiler ({name}) was found; set CC")
    return name


def cache_folder() -> Path:
    """The folder of compiled programs and recorded batches: FASTTRPO_BENCH_CACHE, or a folder in
    the repository that git ignores.
    """
    folder = Path(os.environ.get("FASTTRPO_BENCH_CACHE") or ROOT / ".benchmarks")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def compiled(name: str, with_core: bool = False) -> Path:
    """The program of bench/c/<name>.c, compiled if it is missing or older than a source.

    with_core: linked with all of csrc.
    """
    sources = [ROOT / "bench" / "c" / f"{name}.c", *(core() if with_core else [])]
    program = cache_folder() / name
    newest = max(path.stat().st_mtime for path in sources)
    if not program.exists() or program.stat().st_mtime < newest:
        unfinished = program.with_name(f"{name}.{os.getpid()}")
        command = [compiler(), "-O3", "-ffp-contract=off", "-fno-math-errno", "-o", unfinished]
        subprocess.run([*map(str, [*command, *sources]), "-lm", "-pthread"], check=True)
        unfinished.replace(program)
    return program


def core() -> list[Path]:
    """The sources of the core, the environments and the thread pool."""
    return sorted(p for p in CSRC.glob("*/*.c") if p.parent.name in CORE)


def peak(seconds: float = 0.1, threads: int = 1) -> dict[str, float]:
    """{instruction set: GFLOP/s of fused multiply-adds in float32}, the best of short bursts."""
    command = [str(compiled("peak")), str(seconds), str(threads)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name: float(rate) for name, rate in map(str.split, lines)}


class Peak:
    """One core's peak: the best of samples taken while something else is timed."""

    def __init__(self) -> None:
        self.sets: dict[str, float] = {}
        self._last = 0.0
        self.sample()

    def sample(self, every: float = 0.0) -> None:
        """Measures again if the last sample is at least `every` seconds old."""
        if time.perf_counter() - self._last < every:
            return
        for name, rate in peak(0.05).items():
            self.sets[name] = max(rate, self.sets.get(name, 0.0))
        self._last = time.perf_counter()

    @property
    def gflops(self) -> float:
        """The peak of the machine's best instruction set."""
        return max(self.sets.values())

    def share(self, flops: float, seconds: float, threads: int = 1) -> float:
        """The share of `threads` cores' peak that a computation reached."""
        return flops / seconds / (threads * self.gflops * 1e9)
