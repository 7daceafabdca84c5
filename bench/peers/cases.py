"""The cases: names, functions and targets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bench.batches import SHAPES


@dataclass(frozen=True)
class Case:
    """One comparison, measured in its own processes.

    group      the table it belongs to
    function   module.function in bench.peers, called with `arguments`, threads, counts, seconds
    per_count  one process per thread count (the peer's best one counts); otherwise one process
    targets    the targets of ours, see report.py
    """

    name: str
    group: str
    function: str
    arguments: dict[str, Any]
    per_count: bool = False
    targets: dict[str, float] = field(default_factory=dict)


# Rows, and the share of the peak that ours must reach on one thread.
PRODUCTS = {
    ("halfcheetah", 2048): 0.75,
    ("halfcheetah", 16_384): 0.75,
    ("humanoid", 2048): 0.75,
    ("cartpole", 2048): 0.55,
}
PRODUCT_PEERS = {"torch": 4.5, "jax": 1.6, "numpy": None, "portable": None}
# (peer, batch): the required speed ratio on one thread and on two, relative to the peer's best.
UPDATES = {
    ("sb3-contrib", "small"): {"1": 25, "2": 40},
    ("sb3-contrib", "large"): {"1": 30, "2": 50},
    ("sb3-contrib", "linear"): {"1": 150},
    ("tianshou", "small"): {},
    ("tianshou", "large"): {},
}
FUNCTIONS = {"tanh": {"ns per element": 0.8}, "exp": {}, "expm1": {}}
ROLLOUTS = ((2048, 16), (32_768, 1), (256, 128))


def all_cases() -> list[Case]:
    """All cases in the order of the tables."""
    return [*_products(), *_updates(), *_small()]


def _products() -> list[Case]:
    cases = []
    for (shape, n), share in PRODUCTS.items():
        targets = {"share": share} | ({"ratio": 1.8} if n == 16_384 else {})
        arguments = {"shape": shape, "n": n}
        name = f"product-{shape}-{n}"
        cases.append(Case(name, "product", "fisher.scaling", arguments, targets=targets))
    for shape, n in PRODUCTS:
        for peer, least in PRODUCT_PEERS.items():
            arguments = {"shape": shape, "n": n, "peer": peer}
            targets = {"ratio": least} if least else {}
            name = f"fisher-{shape}-{n}-{peer}"
            cases.append(Case(name, "fisher", "fisher.compare", arguments, True, targets))
    return cases


def _updates() -> list[Case]:
    cases = [
        Case(
            f"update-{peer}-{batch}",
            "update",
            "update.compare",
            {"peer": peer, "name": batch},
            True,
            targets,
        )
        for (peer, batch), targets in UPDATES.items()
    ]
    for batch in ("small", "large"):
        cases.append(Case(f"critic-{batch}", "critic", "update.critics", {"name": batch}))
    return cases


def _small() -> list[Case]:
    cases = [
        Case(f"predict-{shape}", "predict", "small.predict", {"shape": shape}, targets={"us": 8})
        for shape in ("halfcheetah", "cartpole")
    ]
    cases.append(Case("predict-in-c", "predict", "small.predict_c", {}, targets={"us": 1.5}))
    cases.append(Case("import", "import", "small.imports", {}, targets={"ms": 60}))
    cases += [
        Case(f"function-{name}", "function", "small.elementwise", {"name": name}, targets=targets)
        for name, targets in FUNCTIONS.items()
    ]
    cases += [
        Case(
            f"gae-{steps}x{envs}",
            "gae",
            "small.advantages",
            {"steps": steps, "envs": envs},
            targets={"us": 55},
        )
        for steps, envs in ROLLOUTS
    ]
    return cases


def chosen(names: list[str]) -> list[Case]:
    """The cases whose name starts with one of these; all if there are none.

    Raises ValueError for a prefix that matches no case.
    """
    cases = all_cases()
    for name in names:
        if not any(case.name.startswith(name) for case in cases):
            raise ValueError(f"no case starts with {name!r}; --list shows all")
    return [case for case in cases if not names or case.name.startswith(tuple(names))]


def policy(name: str) -> str:
    """A shape written as 17-64-64-6."""
    return "-".join(map(str, SHAPES[name].sizes))
