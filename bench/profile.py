"""Where an update's time goes: `python -m bench.profile [--batch small|large] [--threads N]`.

A table of stages: calls per update, the time of one call, their sum, floating-point operations, and
the share of the machine's peak, measured in the same run. The settings are the defaults, and the
batch is a recorded one (bench/batches.py).

The stages are timed individually through an agent's methods, alternating with the complete update,
so the core needs no clock. "The rest" is the complete update less the sum: CG's vectors,
statistics, normalisation, and the extra cost of a stage that runs after a different one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import flops, machine
from bench.batches import GAE_LAMBDA, GAMMA, Recorded, recorded
from bench.peers import ours
from bench.tables import digits, percent, seconds, table
from bench.timing import Contestant, Times, alternate
from fasttrpo.core.backend import make_agent

WHOLE = "whole update"


@dataclass(frozen=True)
class Stage:
    """A stage's calls per update, and its operations per call (0: not counted)."""

    name: str
    calls: int
    flops: float


@dataclass(frozen=True)
class Profile:
    """The stages, their times by name (and of WHOLE), and one core's peak."""

    stages: list[Stage]
    times: dict[str, Times]
    gflops: float
    threads: int


# -- the agents whose methods are the stages -----------------------------------------------------


def _policy_agent(update: ours.Update, batch: Recorded) -> Any:
    """An agent in the state before the update."""
    update.prepare()
    agent = make_agent(update.settings)
    agent.load_state(update.agent.state())
    return agent


def fit(update: ours.Update, batch: Recorded) -> Contestant:
    """The critic's fit to the rollout's returns, from the state before the update."""
    update.prepare()
    agent = make_agent(update.settings)
    agent.load_state(update.agent.state())
    start = agent.value_theta
    agent.theory.load_batch(*_rows(agent, batch))

    def prepare() -> None:
        agent.value_theta = start

    return Contestant(agent.theory.fit_value, prepare)


def _rows(agent: Any, batch: Recorded) -> tuple[np.ndarray, ...]:
    """obs, act, advantages and returns of the rollout, in the form of load_batch."""
    act = batch.flat("act")[:, : len(agent.settings.parts)]
    adv, ret = (each.ravel() for each in _advantages(agent, batch)())
    return batch.flat("obs"), act, (adv - adv.mean()) / adv.std(), ret


def _model_entries(agent: Any, rows: tuple, names: Sequence[str]) -> dict[str, Contestant]:
    """Gradient, factors with one application, one application, and Fisher product."""
    v = np.random.default_rng(1).normal(size=agent.theta.size)

    def load() -> None:
        agent.theory.load_batch(*rows)

    def factorize() -> None:
        agent.theory.precondition(v)

    load()
    gradient, factors, precondition, product = names
    return {
        gradient: Contestant(agent.theory.gradient),
        product: Contestant(lambda: agent.theory.fisher_product(v)),
        factors: Contestant(factorize, load),
        precondition: Contestant(lambda: agent.theory.precondition(v), factorize),
    }


POLICY = ("policy gradient", "K-FAC factors", "K-FAC application", "Fisher product")
ADVANTAGES, TRIAL, CRITIC = "advantages (GAE)", "line search trial", "critic: K-FAC epoch"


def _entries(update: ours.Update, batch: Recorded) -> dict[str, Contestant]:
    """Every stage, and the complete update."""
    policy = _policy_agent(update, batch)
    entries = _model_entries(policy, _rows(policy, batch), POLICY)
    trial = policy.theta + 1e-3
    entries[TRIAL] = Contestant(lambda: policy.theory.evaluate(trial))
    entries[CRITIC] = fit(update, batch)
    entries[ADVANTAGES] = Contestant(_advantages(policy, batch))
    entries[WHOLE] = Contestant(update.run, update.prepare)
    return entries


def _advantages(agent: Any, batch: Recorded) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    """A function that computes (adv, ret) with the agent's critic."""
    val, after = (
        agent.value(batch.flat(name)).reshape(batch.rew.shape) for name in ("obs", "next_obs")
    )
    done, boot = batch.term | batch.trunc, np.where(batch.term, np.float32(0), after)
    arguments = batch.rew.astype(np.float64), val, boot, done, np.zeros_like(done)
    gae = ours.stage_functions().gae
    return lambda: gae(*arguments, GAMMA, GAE_LAMBDA)


# -- the profile ---------------------------------------------------------------------------------


def profile(batch: Recorded, threads: int, length: float) -> Profile:
    """Times every stage in turns for `length` seconds."""
    of = ours.with_threads(ours.defaults(batch), threads)
    update = ours.Update(of, batch)
    entries, peak = _entries(update, batch), machine.Peak()
    times = alternate(entries, length, between=lambda: peak.sample(every=0.3))
    _, factors, application, _ = POLICY  # the factors were timed together with one application
    times[factors] = _less(times[factors], times[application])
    return Profile(stages(update.settings, update.record), times, peak.gflops, threads)


def stages(settings: Any, record: dict[str, Any]) -> list[Stage]:
    """The stages in the order of the update, with the calls of its record."""
    n, outputs = record["n_samples"], sum(settings.parts)
    policy = (settings.obs_size, *settings.policy_hidden, outputs)
    critic = (settings.obs_size, *settings.value_hidden, 1)
    exact = settings.distribution == "gaussian"
    found = [Stage(ADVANTAGES, 1, 0)]
    found += _model_stages(POLICY, policy, exact, n, record["cg_steps"])
    found.append(Stage(TRIAL, record["line_search_steps"], n * flops.forward(policy)))
    return [*found, Stage(CRITIC, 1, flops.kfac_critic(n, critic, settings.n_critic_updates))]


def _model_stages(
    names: Sequence[str], sizes: tuple[int, ...], exact: bool, n: int, cg_steps: int
) -> list[Stage]:
    sums = flops.kfac_rows(n, sizes, exact) * flops.factor_sums(sizes, exact)
    gradient, factors, application, product = names
    return [
        Stage(gradient, 1, n * flops.gradient(sizes)),
        Stage(factors, 1, sums + flops.factor_inverses(sizes, exact)),
        Stage(application, cg_steps + 1, flops.precondition(sizes, exact)),
        Stage(product, cg_steps, n * flops.fisher_product(sizes)),
    ]


def _less(times: Times, other: Times) -> Times:
    values = (getattr(times, each) - other.median for each in ("median", "low", "high"))
    return Times(*(max(value, 1e-9) for value in values), times.rounds)


def rows(found: Profile) -> list[list[str]]:
    """The table's rows: each stage, the rest, the complete update."""
    whole = found.times[WHOLE].median
    cells, total, work = [], 0.0, 0.0
    for stage in found.stages:
        once = found.times[stage.name].median
        total += stage.calls * once
        work += stage.calls * stage.flops
        cells.append(_row(found, stage.name, stage.calls, once, stage.flops, whole))
    cells.append(["the rest", "", "", seconds_signed(whole - total), *_of(whole - total, whole)])
    cells[-1] += ["", "", ""]
    return [*cells, _row(found, WHOLE, 1, whole, work, whole)]


def _row(
    found: Profile, name: str, calls: int, once: float, work: float, whole: float
) -> list[str]:
    row = [name, str(calls), seconds(once), seconds(calls * once), *_of(calls * once, whole)]
    if not work:
        return [*row, "", "", ""]
    rate = work / once / 1e9
    share = rate / (found.threads * found.gflops)
    return [*row, digits(calls * work / 1e6), digits(rate), percent(share)]


def _of(part: float, whole: float) -> list[str]:
    return [percent(part / whole)]


def seconds_signed(value: float) -> str:
    """A duration that may be negative because of noise."""
    return seconds(value) if value >= 0 else f"-{seconds(-value)}"


HEADER = ("stage", "calls", "once", "together", "of update", "MFLOP", "GFLOP/s", "of peak")


def show(name: str, batch: Recorded, found: Profile) -> str:
    """The heading and the table."""
    plural = "s" if found.threads > 1 else ""
    peak = found.threads * found.gflops
    return (
        f"### One update, N = {batch.n:,}, {found.threads} thread{plural} "
        f"(peak {peak:.0f} GFLOP/s)\n\n{name}: {batch.source}\n\n{table(HEADER, rows(found))}\n"
    )


def main() -> None:
    """Runs the program."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--batch", choices=("small", "large"), nargs="+", default=["small"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1], metavar="N")
    parser.add_argument("--seconds", type=float, default=4.0, help="timing per table [4]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    arguments = parser.parse_args()
    if arguments.threads != [1] and not ours.HAS_THREADS:
        parser.error(ours.WITHOUT_THREADS)
    kept = {"machine": machine.describe(), "profiles": []}
    for name in arguments.batch:
        batch = recorded(name)
        for threads in arguments.threads:
            found = profile(batch, threads, arguments.seconds)
            kept["profiles"].append({"batch": name, **asdict(found)})
            print(show(name, batch, found))
    if arguments.json:
        arguments.json.write_text(json.dumps(kept, indent=1))


if __name__ == "__main__":
    main()
