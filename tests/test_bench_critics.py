"""The critic benchmark: each critic is fitted to the same rollouts and judged on unseen ones."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from agents import needs_extension

sys.path.append(str(Path(__file__).parents[1]))

from bench import critics
from fasttrpo.core.backend import make_agent
from fasttrpo.settings.agent import AgentSettings


@needs_extension
def test_each_critic_has_a_row_and_unknown_tasks_are_skipped(capsys):
    arguments = ["CartPole-v1", "--rollouts", "3", "--n-steps", "20", "--n-envs", "2"]
    assert critics.main([*arguments, "--seconds", "0"]) == 0
    output = capsys.readouterr().out
    assert all(f"| {name} " in output for name in critics.CRITICS)
    assert critics.main(["Nothing-v0", *arguments[1:]]) == 1
    assert "Nothing-v0: skipped" in capsys.readouterr().out


@needs_extension
def test_critics_are_judged_before_each_update_on_common_targets():
    """By hand: values before each update, against discounted sums and the update's returns."""
    settings, rollouts = critics.record("Pendulum-v1", 3, 250, 1)
    episode, beyond = rollouts[0].rew[:200, 0], rollouts[0].rew[200:, 0]
    assert rollouts[0].trunc[199, 0]
    assert not rollouts[0].term.any()
    steps = 0.99 ** np.arange(250)
    first_values = make_agent(settings)  # as the recording agent starts: the default seed
    after = first_values.value(rollouts[0].next_obs[[199, 249], 0]).astype(float)
    assert rollouts[0].sums[0, 0] == pytest.approx(steps[:200] @ episode + 0.99**200 * after[0])
    assert rollouts[0].sums[200, 0] == pytest.approx(steps[:50] @ beyond + 0.99**50 * after[1])
    own = dataclasses.replace(settings, critic="ridge", gae_lambda=0.5)
    course, agent = critics.replay(own, rollouts), make_agent(own)
    for i, rollout in enumerate(rollouts):
        values = agent.value(rollout.obs[:, 0])[:, None]
        if i:
            left = rollout.sums - values
            assert course.of_sums[i - 1] == pytest.approx(1 - left.var() / rollout.sums.var())
        critics.push(agent, rollout)
        last, record = agent.value_theta, agent.update()
        if i:
            assert course.of_returns[i - 1] == pytest.approx(record["explained_variance"])
    assert course.agent.value_theta.tobytes() == last.tobytes()


@needs_extension
def test_a_critic_whose_loss_differs_is_not_timed(monkeypatch):
    settings, rollouts = critics.record("CartPole-v1", 3, 20, 2)
    monkeypatch.setattr(critics, "SAME_LOSS", -1.0)
    with pytest.raises(AssertionError, match="the loss of kfac, 1 epoch"):
        critics.compare(settings, rollouts, 0)


def test_passes_match_counts_by_hand():
    settings = AgentSettings(
        obs_size=4, distribution="gaussian", parts=(1,), n_steps=100, value_hidden=(8,)
    )
    weights, inner = 4 * 8 + 8 * 1, 8 * 1
    gradient = 1 + inner / weights
    adam = dataclasses.replace(settings, critic="adam", n_critic_updates=3)
    assert critics.passes(adam) == pytest.approx(3 * (1 + gradient) + 1)
    found = [
        critics.passes(dataclasses.replace(settings, critic=c, n_critic_updates=2))
        for c in ("gauss_newton", "kfac")
    ]
    assert found[0] > 2 * (gradient + 5 * 2 * gradient + 1)
    assert found[1] > 2 * (1 + 2 * gradient) + 1
    assert critics.passes(dataclasses.replace(settings, critic="ridge")) < found[1]
