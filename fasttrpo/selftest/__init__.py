"""`fasttrpo selftest`: checks that this installation computes correct results on this machine.

Compares every stage with a slow formula, a dense matrix or the portable twin. Takes seconds and
needs only NumPy. `run` yields the results one by one, `verdict` summarises them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import perf_counter

from fasttrpo.core import backend
from fasttrpo.selftest import machine, theory
from fasttrpo.selftest.cases import KINDS, Case, Kind
from fasttrpo.selftest.result import UPDATES, Outcome, Result

__all__ = ["Result", "checks", "run", "verdict"]

_CASE_CHECKS = {
    "densities": theory.densities,
    "gradient": theory.gradient,
    "Fisher product": theory.fisher,
    "KL Hessian": theory.kl_hessian,
}
_KIND_CHECKS = {"conjugate gradient": theory.conjugate_gradient, "update": theory.update}


def checks(kinds: Sequence[Kind] = KINDS) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """Yields (name, function) of every check on this machine, in order."""
    for kind in kinds:
        for name, check in _CASE_CHECKS.items():
            yield f"{name}, {kind.name}", partial(_check_case, check, kind)
        for name, of_kind in _KIND_CHECKS.items():
            yield f"{name}, {kind.name}", partial(of_kind, kind)
    yield "critic", partial(theory.critic, kinds[0])
    yield "rejected step", theory.rejected_step
    yield "advantages (GAE)", theory.gae
    yield from _machine_checks(tuple(kinds))


def _check_case(check: Callable[[Case], Outcome], kind: Kind) -> Outcome:
    return check(Case(kind))


def _machine_checks(kinds: tuple[Kind, ...]) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    yield "threads", partial(machine.threads, kinds[0])
    for name in machine.instruction_sets():
        for dtype in UPDATES:
            check = partial(machine.instruction_set, name, dtype, kinds)
            yield f"instruction set {name}, {dtype}", check
    for dtype in UPDATES:
        yield f"instruction sets agree, {dtype}", partial(machine.fused_sets, dtype, kinds)
    yield "save and load", machine.saved_model


def run(kinds: Sequence[Kind] = KINDS) -> Iterator[Result]:
    """Runs the checks in order. A check that raises an exception has failed."""
    for name, check in checks(kinds):
        start = perf_counter()
        try:
            outcome = check()
        except Exception as error:
            outcome = Outcome(f"{type(error).__name__}: {error}", float("inf"), 0.0)
        yield Result(name, outcome, perf_counter() - start)


def verdict(results: Sequence[Result]) -> str:
    """A summary of the results."""
    failed = [result.name for result in results if result.status == "FAILED"]
    done = sum(result.status != "-" for result in results)
    seconds = sum(result.seconds for result in results)
    what = backend.describe()
    where = f"{what['backend']} backend, version {what['version']}"
    if what["backend"] == "compiled":
        where += f", {what['instruction set']} kernels, {what['threads']} threads"
    if failed:
        return (
            f"{len(failed)} of {done} checks FAILED ({'; '.join(failed)}): do not trust this "
            f"installation's results ({where})."
        )
    return f"All {done} checks passed in {seconds:.1f} s: results are correct here ({where})."
