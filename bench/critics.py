"""Quality and cost of the critics while an agent learns: `python -m bench.critics [ENV_ID ...]`.

An agent with this library's defaults trains, and its rollouts are recorded. Each critic is then
fitted to the same rollouts in order, from its own initial parameters, so that the critics differ
only in the fit. Held-out EV is the explained variance of a rollout by the values from before the
fit to it, averaged over the first and over the second half of the rollouts, for two targets:

    sums      discounted rewards to the end of the episode; beyond the end of the rollout, the
              recording agent's values: the same target for every critic
    returns   advantages plus the critic's own values: what it is fitted to

The cost of one fit is given in passes, operations relative to one forward pass over all rows (a
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
SAME_LOSS = 1e-2  # float32 relative to the portable backend's float64
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
class TrainingRollout(Rollout):
    """A rollout of a learning agent; sums (T, E) are the common target."""

    sums: np.ndarray


@dataclass(frozen=True)
class Replay:
    """One critic's held-out explained variances, one per rollout but the first, and its agent
    before the last fit.
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
) -> tuple[AgentSettings, list[TrainingRollout]]:
    """The rollouts of a learning agent. Raises what `gymnasium.make` raises."""
    environments = Environments(n_envs, env_id)
    settings = settings_for(environments, n_steps)
    agent = make_agent(settings)
    return settings, [_iteration(agent, environments) for _ in range(n_rollouts)]


def _iteration(agent: Any, environments: Environments) -> TrainingRollout:
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
    sums = gae(rew, np.zeros(rew.shape), term, trunc, beyond, GAMMA, 1.0)[1]
    return TrainingRollout(*fields, sums)


# -- replaying ------------------------------------------------------------------------------------


def replay(settings: AgentSettings, rollouts: Sequence[TrainingRollout]) -> Replay:
    """Fits a critic to the rollouts in order. Its policy is minimal, since it does not matter."""
    agent = make_agent(replace(settings, policy_hidden=()))
    of_sums, of_returns = [], []
    for rollout in rollouts:
        values, before = push(agent, rollout), agent.state()
        of_sums.append(explained(values, rollout.sums))
        of_returns.append(agent.update()["explained_variance"])
    agent.load_state(before)
    return Replay(np.array(of_sums[1:]), np.array(of_returns[1:]), agent)


def push(agent: Any, rollout: TrainingRollout) -> np.ndarray:
    """Records the rollout in the agent; returns its values (T, E)."""
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
    """Operations of a fit relative to one forward pass of a network with the default's widths."""
    n, updates = settings.n_steps * settings.n_envs, settings.n_critic_updates
    sizes = (settings.obs_size, *settings.value_hidden, 1)
    forward, gradient = n * flops.forward(sizes), n * flops.gradient(sizes)
    if settings.critic == "ridge":
        features = (2 * settings.obs_size, 1)
        used = n * (2 * flops.forward(features) + flops.gradient(features))
        return (used + flops.preconditioning(n, features, True, 0)) / forward
    if settings.critic == "adam":
        return (updates * (forward + gradient) + forward) / forward
    if settings.critic == "kfac":
        return flops.kfac_critic(n, sizes, updates, settings.batch_size) / forward
    solve = 5 * n * flops.fisher_product(sizes) + flops.preconditioning(n, sizes, True, 5)
    return updates * (gradient + solve + forward) / forward


def fit_of(agent: Any, rollout: TrainingRollout) -> Contestant:
    """One fit to the sums of a rollout, repeated from the same parameters."""
    start = agent.value_theta
    agent.theory.load_batch(*_rows(rollout))

    def prepare() -> None:
        agent.value_theta = start

    return Contestant(agent.theory.fit_value, prepare)


def _rows(rollout: TrainingRollout) -> tuple[np.ndarray, ...]:
    """obs, act, adv and ret in the form of load_batch."""
    n = rollout.rew.size
    obs, act = (field.reshape(n, -1) for field in (rollout.obs, rollout.act))
    return obs, act, np.zeros(n), rollout.sums.ravel()


def check(name: str, agent: Any, rollout: TrainingRollout) -> None:
    """Raises AssertionError unless the fit's loss equals that of the portable twin in float64."""
    losses = []
    for backend, dtype in ((None, "float32"), ("portable", "float64")):
        same = make_agent(agent.settings, backend, dtype)
        same.load_state(agent.state())
        losses.append(fit_of(same, rollout).run())
    require(f"the loss of {name}", abs(losses[0] / losses[1] - 1), SAME_LOSS)


# -- the program ----------------------------------------------------------------------------------


def compare(
    settings: AgentSettings, rollouts: Sequence[TrainingRollout], time: float
) -> tuple[dict[str, Replay], dict[str, Times]]:
    """Every critic's replay, and the times of their fits, which are checked first."""
    replays = {
        name: replay(replace(settings, **changes), rollouts) for name, changes in CRITICS.items()
    }
    for name, replayed in replays.items():
        check(name, replayed.agent, rollouts[-1])
    fits = {name: fit_of(replayed.agent, rollouts[-1]) for name, replayed in replays.items()}
    return replays, alternate(fits, time)


def show(settings: AgentSettings, replays: dict[str, Replay], times: dict[str, Times]) -> str:
    """The table of one environment."""
    rows = []
    for name, replayed in replays.items():
        halves = [np.array_split(each, 2) for each in (replayed.of_sums, replayed.of_returns)]
        qualities = [f"{np.mean(half):.3f}" for pair in halves for half in pair]
        cost = digits(passes(replace(settings, **CRITICS[name])))
        rows.append([name, cost, seconds(times[name].median), *qualities])
    header = ["critic", "passes", "time", "sums, first", "last", "returns, first", "last"]
    return table(header, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 if an environment could not be made."""
    parser = argparse.ArgumentParser(prog="python -m bench.critics", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("env_id", nargs="*", default=ENV_IDS)
    parser.add_argument("--rollouts", type=int, default=20, help="one update each [20]")
    parser.add_argument("--n-steps", type=int, default=256, help="steps of a rollout [256]")
    parser.add_argument("--n-envs", type=int, default=8, help="parallel environments [8]")
    parser.add_argument("--seconds", type=float, default=2.0, help="timing per table [2]")
    chosen = parser.parse_args(arguments)
    if chosen.rollouts < 3:
        parser.error("--rollouts must be at least 3: one is not held out, two make halves")
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
