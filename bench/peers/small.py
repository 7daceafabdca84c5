"""Short but frequent operations: predict, import, tanh, advantages."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import Any

import numpy as np

from bench import machine
from bench.batches import SHAPES, Shape
from bench.peers import INSTALL, ours, sb3_peer
from bench.peers.fisher import timed
from bench.timing import Contestant, Times, summary
from fasttrpo import TRPO

# -- predict --------------------------------------------------------------------------------------


def predict(shape: str, threads: int, counts: list[int], seconds: float) -> dict[str, Any]:
    """`model.predict` on one observation, deterministic, with the same weights on both sides."""
    of = SHAPES[shape]
    mine = TRPO("MlpPolicy", sb3_peer.spaces_only(of)(), seed=0, n_steps=16)
    models, missing = {"ours": mine}, _missing()
    if not missing:
        models["sb3-contrib"] = _same_policy(of, mine)
    obs = np.linspace(-1, 1, of.obs_size, dtype=np.float32)
    actions = [model.predict(obs, deterministic=True)[0] for model in models.values()]
    np.testing.assert_allclose(actions[0], actions[-1], rtol=1e-4, atol=1e-5)
    entries = {
        name: Contestant(lambda model=model: model.predict(obs, deterministic=True))
        for name, model in models.items()
    }
    return {"times": timed(entries, seconds)[0]} | missing


def _same_policy(shape: Shape, mine: TRPO) -> Any:
    """sb3-contrib's model with our parameters."""
    other = sb3_peer.model_of(shape, n_steps=16)
    sb3_peer.load_network(other.policy, "policy_net", "action_net", mine.theta, shape.sizes)
    return other


def _missing() -> dict[str, str]:
    """The entry of a result if sb3-contrib is missing and only ours is measured."""
    try:
        importlib.import_module("sb3_contrib")
    except ImportError as error:
        return {"skipped": f"{error}: {INSTALL}"}
    return {}


def predict_c(threads: int, counts: list[int], seconds: float) -> dict[str, Any]:
    """trpo_predict in a C program, which checks its actions."""
    command = [str(machine.compiled("predict", with_core=True))]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    times = {}
    for name, *nanoseconds in map(str.split, lines):
        median, low, high = (1e-9 * float(each) for each in nanoseconds)
        times[name] = Times(median, low, high, 101)
    return {"times": times}


# -- import ---------------------------------------------------------------------------------------

IMPORTS = {
    "import fasttrpo": "import fasttrpo",
    "from fasttrpo import TRPO": "from fasttrpo import TRPO",
    "from fasttrpo import TRPO; compiled core": (
        "from fasttrpo import TRPO; from fasttrpo.core import _core32"
    ),
    "import sb3_contrib": "import sb3_contrib",
}


def imports(threads: int, counts: list[int], seconds: float, rounds: int = 9) -> dict[str, Any]:
    """Seconds of each import beyond numpy's, alternating in fresh processes."""
    missing = _missing()
    turns: dict[str, list[float]] = {
        name: [] for name in IMPORTS if not missing or "sb3" not in name
    }
    for _ in range(rounds):
        for name, of in turns.items():
            of.append(_import_time(IMPORTS[name]))
    return {"times": {name: summary(of) for name, of in turns.items()}} | missing


def _import_time(statement: str) -> float:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; import numpy, time\n"
        f"start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


# -- tanh and advantages --------------------------------------------------------------------------

N_ELEMENTS = 16_384
# The largest relative error of a float32 function with errors up to 4 units in the last place.
FOUR_ULP = 4 * 2.0**-23


def elementwise(name: str, threads: int, counts: list[int], seconds: float) -> dict[str, Any]:
    """tanh, exp or expm1 of float32 numbers that stay in the cache; ours and NumPy's."""
    mine, numpys = getattr(ours.stage_functions(), name, None), getattr(np, name)
    if mine is None:
        return {"skipped": f"this fasttrpo has no _core32.{name}"}
    x = np.random.default_rng(0).normal(size=N_ELEMENTS).astype(np.float32)
    out, other = np.empty_like(x), np.empty_like(x)
    mine(x, out)
    expected = numpys(x.astype(np.float64))
    worst = float(np.max(np.abs(out - expected) / np.abs(expected)))
    ours.require(name, worst, FOUR_ULP)
    entries = {"ours": Contestant(lambda: mine(x, out))}
    entries["numpy"] = Contestant(lambda: numpys(x, out=other))
    return {"times": timed(entries, seconds)[0], "elements": N_ELEMENTS, "worst": worst}


def advantages(
    steps: int, envs: int, threads: int, counts: list[int], seconds: float
) -> dict[str, Any]:
    """Generalised advantage estimation; ours, and a loop over time in NumPy."""
    arguments = rollout(steps, envs)
    mine = ours.stage_functions().gae
    for found, expected in zip(mine(*arguments, 0.99, 0.95), numpy_gae(*arguments), strict=True):
        ours.require("advantages", ours.relative_error(found, expected), 1e-6)
    entries = {
        "ours": Contestant(lambda: mine(*arguments, 0.99, 0.95)),
        "numpy": Contestant(lambda: numpy_gae(*arguments)),
    }
    return {"times": timed(entries, seconds)[0]}


def rollout(steps: int, envs: int) -> tuple[np.ndarray, ...]:
    """rew, val, boot, done, skip; an episode ends about every hundred steps."""
    draw = np.random.default_rng(0)
    rew = draw.normal(size=(steps, envs))
    val, boot = draw.normal(size=(2, steps, envs)).astype(np.float32)
    return rew, val, boot, draw.random((steps, envs)) < 0.01, np.zeros((steps, envs), bool)


def numpy_gae(
    rew: np.ndarray, val: np.ndarray, boot: np.ndarray, done: np.ndarray, skip: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """adv, ret (T, E): delta_t + gamma lambda adv_{t+1}, backwards, a row at a time."""
    adv, carry, following = np.empty_like(rew), np.zeros(rew.shape[1]), boot[-1]
    for t in reversed(range(len(rew))):
        alive = ~done[t]
        delta = rew[t] + 0.99 * np.where(alive, following, boot[t]) - val[t]
        carry = delta + 0.99 * 0.95 * alive * carry
        adv[t], following = carry, val[t]
    return adv, adv + val
