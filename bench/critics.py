"""The critics by quality and cost while an agent learns: `python -m bench.critics [ENV_ID ...]`.

An agent of this library's defaults learns, and its rollouts are recorded. Then each critic lives
through the same rollouts from its own start, fitting itself to each in turn, so that the critics
differ in nothing but the fit. Held-out EV is the explained variance of a rollout by the values
from before the fit to it, as a mean over the first and the second half of the rollouts, of

    sums      discounted rewards to the end of the episode; beyond the end of the rollout the
              recording agent's values: the same target for every critic
    returns   advantages plus values, with the critic's own values in them: what it is fitted to

Cost is that of one fit: in passes, operations over those of one forward pass over all rows (a
gradient adds almost two, a Fisher product almost four), and in time.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench import flops
from bench.batches import GAE_LAMBDA, GAMMA, Rollout
from bench.peers.ours import require
from bench.record import Environments, quiet_mujoco
from bench.tables import digits, seconds, table
from bench.timing import Contestant, Times, alternate
from fasttrpo.core.backend import make_agent
from fasttrpo.settings.agent import AgentSettings
from fasttrpo.theory import gae

ENV_IDS = ("CartPole-v1", "Pendulum-v1", "HalfCheetah-v5", "Hopper-v5")
SAME_LOSS = 1e-2  # float32 against the portable backend's float64, relative
CRITICS: dict[str, dict[str, Any]] = {
    "kfac, 1 epoch": {"critic": "kfac"},
    "kfac, 2 epochs": {"critic": "kfac", "n_critic_updates": 2},
    "gauss_newton, 1 step": {"critic": "gauss_newton"},
    "gauss_newton, 2 steps": {"critic": "gauss_newton", "n_critic_updates": 2},
    "adam, 2 epochs": {"critic": "adam", "n_critic_updates": 2},
    "adam, 10 epochs": {"critic": "adam", "n_critic_updates": 10},
    "ridge": {"critic": "ridge"},
}


@dataclass(frozen=True)
class Lived(Rollout):
    """A rollout of an agent that learns; sums (T, E): the common target."""

    sums: np.ndarray


@dataclass(frozen=True)
class Course:
    """One critic's held-out explained variances, one per rollout but the first, and its agent as
    it was before the last fit.
    """

    of_sums: np.ndarray
    of_returns: np.ndarray
    agent: Any


# -- recording ------------------------------------------------------------------------------------


def settings_for(environments: Environments, n_steps: int) -> AgentSettings:
    """The defaults for these environments."""
    space, n_envs = environments.space, len(environments.all)
    discrete = hasattr(space, "n")
    return AgentSettings(
        obs_size=environments.obs.shape[1],
        distribution="categorical" if discrete else "gaussian",
        parts=(int(space.n),) if discrete else (1,) * space.shape[0],
        n_steps=n_steps,
        n_envs=n_envs,
        gamma=GAMMA,
        gae_lambda=GAE_LAMBDA,
    )


def record(
    env_id: str, n_rollouts: int, n_steps: int, n_envs: int
) -> tuple[AgentSettings, list[Lived]]:
    """The rollouts of an agent as it learns. Gymnasium's errors if it cannot make the task."""
    environments = Environments(n_envs, env_id)
    settings = settings_for(environments, n_steps)
    agent = make_agent(settings)
    return settings, [_live(agent, environments) for _ in range(n_rollouts)]


def _live(agent: Any, environments: Environments) -> Lived:
    rows = []
    for _ in range(agent.settings.n_steps):
        obs = environments.obs
        act = agent.act(obs)[0]
        step = environments.step(act)
        agent.push(*step)
        rows.append((obs, act, *step))
    fields = [np.stack(column) for column in zip(*rows, strict=True)]
    rew, term, trunc, next_obs = fields[2:]
    beyond = agent.value(next_obs.reshape(rew.size, -1)).reshape(rew.shape)
    agent.update()
    return Lived(*fields, gae(rew, np.zeros(rew.shape), term, trunc, beyond, GAMMA, 1.0)[1])


# -- replaying ------------------------------------------------------------------------------------


def replay(settings: AgentSettings, rollouts: Sequence[Lived]) -> Course:
    """A critic's course through the rollouts. Its policy is small: nobody looks at it."""
    agent = make_agent(replace(settings, policy_hidden=()))
    of_sums, of_returns = [], []
    for rollout in rollouts:
        values, before = push(agent, rollout), agent.state()
        of_sums.append(explained(values, rollout.sums))
        of_returns.append(agent.update()["explained_variance"])
    agent.load_state(before)
    return Course(np.array(of_sums[1:]), np.array(of_returns[1:]), agent)


def push(agent: Any, rollout: Lived) -> np.ndarray:
    """The rollout in the agent; its values (T, E)."""
    values = []
    for t in range(len(rollout.rew)):
        values.append(agent.record(rollout.obs[t], rollout.act[t])[1])
        agent.push(rollout.rew[t], rollout.term[t], rollout.trunc[t], rollout.next_obs[t])
    return np.stack(values)


def explained(values: np.ndarray, target: np.ndarray) -> float:
    """1 - var(target - values) / var(target), float64."""
    target = target.astype(np.float64)
    return 1 - float(np.var(target - values) / np.var(target))


# -- cost -----------------------------------------------------------------------------------------


def passes(settings: AgentSettings) -> float:
    """Operations of a fit over those of a forward pass of a network with the default's widths."""
    n, updates = settings.n_steps * settings.n_envs, settings.n_critic_updates
    sizes = (settings.obs_size, *settings.value_hidden, 1)
    whole, gradient = n * flops.forward(sizes), n * flops.gradient(sizes)
    if settings.critic == "ridge":
        features = (2 * settings.obs_size, 1)
        used = n * (2 * flops.forward(features) + flops.gradient(features))
        return (used + flops.preconditioning(n, features, True, 0)) / whole
    if settings.critic == "adam":
        return (updates * (whole + gradient) + whole) / whole
    if settings.critic == "kfac":
        return flops.kfac_critic(n, sizes, updates, settings.batch_size) / whole
    solve = 5 * n * flops.fisher_product(sizes) + flops.preconditioning(n, sizes, True, 5)
    return updates * (gradient + solve + whole) / whole


def fit_of(agent: Any, rollout: Lived) -> Contestant:
    """One fit to the sums of a rollout, again and again from the same parameters."""
    start = agent.value_theta
    agent.theory.load_batch(*_rows(rollout))

    def prepare() -> None:
        agent.value_theta = start

    return Contestant(agent.theory.fit_value, prepare)


def _rows(rollout: Lived) -> tuple[np.ndarray, ...]:
    """obs, act, adv and ret as load_batch takes them."""
    n = rollout.rew.size
    obs, act = (field.reshape(n, -1) for field in (rollout.obs, rollout.act))
    return obs, act, np.zeros(n), rollout.sums.ravel()


def check(name: str, agent: Any, rollout: Lived) -> None:
    """AssertionError unless a fit ends with the loss that the portable twin's, in float64, has."""
    losses = []
    for backend, dtype in ((None, "float32"), ("portable", "float64")):
        same = make_agent(agent.settings, backend, dtype)
        same.load_state(agent.state())
        losses.append(fit_of(same, rollout).run())
    require(f"the loss of {name}", abs(losses[0] / losses[1] - 1), SAME_LOSS)


# -- the program ----------------------------------------------------------------------------------


def compare(
    settings: AgentSettings, rollouts: Sequence[Lived], time: float
) -> tuple[dict[str, Course], dict[str, Times]]:
    """Every critic's course, and the times of their fits, which are checked first."""
    courses = {
        name: replay(replace(settings, **changes), rollouts) for name, changes in CRITICS.items()
    }
    for name, course in courses.items():
        check(name, course.agent, rollouts[-1])
    fits = {name: fit_of(course.agent, rollouts[-1]) for name, course in courses.items()}
    return courses, alternate(fits, time)


def show(settings: AgentSettings, courses: dict[str, Course], times: dict[str, Times]) -> str:
    """The table of one environment."""
    rows = []
    for name, course in courses.items():
        halves = [np.array_split(each, 2) for each in (course.of_sums, course.of_returns)]
        qualities = [f"{np.mean(half):.3f}" for pair in halves for half in pair]
        cost = digits(passes(replace(settings, **CRITICS[name])))
        rows.append([name, cost, seconds(times[name].median), *qualities])
    header = ["critic", "passes", "time", "sums, first", "last", "returns, first", "last"]
    return table(header, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 if a task could not be made."""
    parser = argparse.ArgumentParser(prog="python -m bench.critics", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("env_id", nargs="*", default=ENV_IDS)
    parser.add_argument("--rollouts", type=int, default=20, help="one update each [20]")
    parser.add_argument("--n-steps", type=int, default=256, help="steps of a rollout [256]")
    parser.add_argument("--n-envs", type=int, default=8, help="environments side by side [8]")
    parser.add_argument("--seconds", type=float, default=2.0, help="timing per table [2]")
    chosen = parser.parse_args(arguments)
    if chosen.rollouts < 3:
        parser.error("--rollouts must be at least 3: the first is not held out, two make halves")
    return max(_one(env_id, chosen) for env_id in chosen.env_id)


def _one(env_id: str, chosen: argparse.Namespace) -> int:
    import gymnasium

    try:
        is_mujoco = "mujoco" in str(gymnasium.spec(env_id).entry_point)
        with quiet_mujoco() if is_mujoco else contextlib.nullcontext():
            settings, rollouts = record(env_id, chosen.rollouts, chosen.n_steps, chosen.n_envs)
    except (gymnasium.error.Error, ImportError) as error:
        print(f"### {env_id}: skipped, {error}\n")
        return 1
    n = chosen.n_steps * chosen.n_envs
    print(f"### {env_id}, {chosen.rollouts} rollouts of {n:,} rows\n")
    print(show(settings, *compare(settings, rollouts, chosen.seconds)), "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
