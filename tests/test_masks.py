"""Action masks: the policy over the remaining choices, in sampling and in every derivative."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import reference
from agents import N, O, World, bits, random_batch, rollout_settings, settings, shaken
from tables import table
from tolerances import (
    DENSE,
    DIFFERENCES,
    ROUNDING,
    SAMPLING,
    SECOND_DIFFERENCES,
    assert_close,
)

PARTS = {"one part": (4,), "two parts": (2, 3), "a part of one choice": (1, 3)}
every_choice = table("parts", PARTS.values(), ids=PARTS)
ROWS = 20_000


def choosing(parts, hidden=(4,), **more):
    return settings(hidden, ("categorical", parts), **more)


def random_mask(parts, n, seed=11):
    """Half of the choices are open, and at least one of each component."""
    draw = np.random.default_rng(seed)
    mask = draw.random((n, sum(parts))) < 0.5
    for start, size in zip(np.cumsum(parts) - parts, parts, strict=True):
        mask[np.arange(n), start + draw.integers(size, size=n)] = True
    return mask


def opened(parts, mask, seed=12):
    """Actions (n, D), each an open choice."""
    draw, columns = np.random.default_rng(seed), []
    for part in np.split(mask, np.cumsum(parts)[:-1], axis=1):
        columns.append(np.argmax(draw.random(part.shape) * part, axis=1))
    return np.stack(columns, axis=1).astype(float)


class Samples(NamedTuple):
    """A batch, in the order of load_batch's arguments."""

    obs: np.ndarray
    act: np.ndarray
    adv: np.ndarray
    ret: np.ndarray
    logp: np.ndarray
    mask: np.ndarray


def loaded(implementation, s, n=N):
    """A perturbed agent loaded with a masked off-policy batch, the batch, and the dense policy."""
    agent, mask = shaken(implementation, s), random_mask(s.parts, n)
    obs, _, adv, ret, _ = random_batch(s, n)
    act, dense = opened(s.parts, mask), reference.dense_policy(s, mask)
    logp = dense.logp(agent.theta, obs, act) + 0.2 * np.random.default_rng(5).normal(size=n)
    batch = Samples(obs, act, adv, ret, logp, mask)
    agent.theory.load_batch(*batch)
    return agent, batch, dense


# -- densities, divergences and derivatives -------------------------------------------------------


@every_choice
@pytest.mark.parametrize("hidden", [(), (4, 3)])
def test_surrogate_kl_and_entropy_use_the_open_choices(implementation, parts, hidden):
    agent, batch, dense = loaded(implementation, choosing(parts, hidden))
    theta = agent.theta + 0.3 * np.random.default_rng(1).normal(size=agent.theta.size)
    expected = (
        dense.surrogate(theta, batch.obs, batch.act, batch.adv, batch.logp),
        dense.kl(agent.theta, theta, batch.obs),
        dense.entropy(theta, batch.obs),
    )
    for found, right in zip(agent.theory.evaluate(theta), expected, strict=True):
        assert_close(found, right, DENSE)


@every_choice
@pytest.mark.parametrize("hidden", [(), (4, 3)])
def test_gradient_and_fisher_product_use_the_open_choices(implementation, parts, hidden):
    agent, batch, dense = loaded(implementation, choosing(parts, hidden))
    expected = dense.gradient(agent.theta, batch.obs, batch.act, batch.adv, batch.logp)
    assert_close(agent.theory.gradient(), expected, DENSE)
    F = reference.matrix(agent.theory.fisher_product, agent.theta.size)
    assert_close(F, dense.fisher(agent.theta, batch.obs), DENSE)


@every_choice
def test_derivatives_with_masks_match_finite_differences(implementation, parts):
    agent, _, _ = loaded(implementation, choosing(parts))
    numeric = reference.differences(
        lambda t: np.array(agent.theory.evaluate(t)[0]), agent.theta, 1e-4
    )
    assert_close(agent.theory.gradient(), numeric, DIFFERENCES)
    v, h = np.random.default_rng(1).normal(size=agent.theta.size), 1e-4
    kl = [agent.theory.evaluate(agent.theta + sign * h * v)[1] for sign in (1, -1)]
    assert min(kl) > 0
    curvature = v @ agent.theory.fisher_product(v)
    assert sum(kl) / h**2 == pytest.approx(curvature, rel=SECOND_DIFFERENCES)


def test_sub_sampled_rows_keep_their_masks(implementation):
    agent, batch, _ = loaded(implementation, choosing((2, 3), sub_sampling_factor=5))
    rows = batch.obs[::5], batch.mask[::5]
    F = reference.matrix(agent.theory.fisher_product, agent.theta.size)
    dense = reference.dense_policy(choosing((2, 3)), rows[1])
    assert_close(F, dense.fisher(agent.theta, rows[0]), DENSE)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1e10, 1e31, 1e37])
def test_extreme_outputs_never_select_a_forbidden_choice(implementation, dtype, size):
    agent = implementation.agent(choosing((3,), ()), dtype)
    draw = np.random.default_rng(0)
    agent.theta = size * draw.normal(size=agent.theta.size)
    obs, mask = draw.normal(size=(300, O)), random_mask((3,), 300)
    for deterministic in (False, True):
        act = agent.predict(obs, deterministic, mask).astype(int)
        assert np.take_along_axis(mask, act, axis=1).all()


def test_preconditioner_samples_from_the_open_choices(implementation):
    """The factors use all rows. A head with one open choice has the known factor
    G = mean (p - pp') = 0 for sampled actions."""
    s = choosing((3,), ())
    agent = shaken(implementation, s)
    batch = random_batch(s)
    mask = np.zeros((N, 3), bool)
    mask[:, 1] = True
    agent.theory.load_batch(batch.obs, np.ones((N, 1)), batch.adv, mask=mask)
    A = reference.with_one(batch.obs)
    A = A.T @ A / N
    r = np.random.default_rng(0).normal(size=(O + 1, 3))
    root = np.sqrt(s.cg_damping)
    expected = np.linalg.solve(A + root * np.eye(O + 1), r) / root
    assert_close(agent.theory.precondition(r.ravel()), expected.ravel(), DENSE)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_of_a_never_open_choice_get_no_gradient(implementation, dtype):
    """Gradient and Fisher product are exactly 0 there, for any direction."""
    s = choosing((2, 3), ())
    agent, batch = shaken(implementation, s, dtype=dtype), random_batch(s)
    mask = np.ones((N, 5), bool)
    mask[:, [1, 3]] = False
    agent.theory.load_batch(batch.obs, opened(s.parts, mask), batch.adv, mask=mask)
    v = np.random.default_rng(0).normal(size=agent.theta.size)
    for vector in (agent.theory.gradient(), agent.theory.fisher_product(v)):
        columns = vector.reshape(O + 1, 5)
        assert not columns[:, [0, 1, 3]].any()  # choice 0 is the only open one of its component
        assert columns[:, [2, 4]].any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_single_open_choice_is_certain(implementation, dtype):
    s = choosing((1, 3))
    agent, batch = shaken(implementation, s, dtype=dtype), random_batch(s)
    act = np.hstack([np.zeros((N, 1)), np.random.default_rng(0).integers(3, size=(N, 1))])
    mask = np.hstack([np.ones((N, 1)), act[:, 1:] == np.arange(3)]).astype(np.uint8)
    agent.theory.load_batch(batch.obs, act, batch.adv, mask=mask)
    assert agent.theory.evaluate(agent.theta + 1.0) == (0, 0, 0)
    assert not agent.theory.gradient().any()
    assert not agent.theory.fisher_product(np.ones(agent.theta.size)).any()
    for deterministic in (False, True):
        assert np.array_equal(agent.predict(batch.obs, deterministic, mask), act)


def test_setting_theta_keeps_the_masks_of_the_batch(implementation):
    agent, batch, dense = loaded(implementation, choosing((2, 3)))
    agent.theta = agent.theta + 0.2
    expected = dense.gradient(agent.theta, batch.obs, batch.act, batch.adv, batch.logp)
    assert_close(agent.theory.gradient(), expected, DENSE)


# -- sampling -------------------------------------------------------------------------------------


@every_choice
def test_sampled_frequencies_match_the_open_choices_probabilities(implementation, parts):
    s = choosing(parts)
    agent, obs = shaken(implementation, s), np.tile([[0.3, -1.0, 0.8]], (ROWS, 1))
    mask = random_mask(parts, 1)
    act = agent.predict(obs, False, np.repeat(mask, ROWS, axis=0))
    dense = reference.dense_policy(s, mask)
    p = np.exp(dense.of.log_probabilities(dense.outputs(agent.theta, obs[:1])))[0]
    frequency = np.hstack([act[:, [d]] == np.arange(k) for d, k in enumerate(parts)]).mean(axis=0)
    assert not frequency[~mask[0]].any()
    assert (abs(frequency - p) <= SAMPLING * np.sqrt(p * (1 - p) / ROWS)).all()


@every_choice
def test_the_mode_is_the_most_probable_open_choice(implementation, parts):
    s = choosing(parts)
    agent, obs, mask = shaken(implementation, s), random_batch(s).obs, random_mask(parts, N)
    dense = reference.dense_policy(s, mask)
    expected = dense.of.mode(*dense.parameters(agent.theta, obs))
    assert np.array_equal(agent.predict(obs, True, mask), expected)
    outputs = np.where(mask, dense.outputs(agent.theta, obs), -(2.0**100))
    assert_close(agent.outputs(obs, mask)[mask], outputs[mask], ROUNDING)
    assert np.array_equal(agent.outputs(obs, mask)[~mask], outputs[~mask])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_choice
def test_a_forbidden_action_is_never_taken(implementation, parts, dtype):
    """100,000 steps of a policy that strongly prefers forbidden choices."""
    s = choosing(parts, (), n_envs=1000, n_steps=100)
    agent = implementation.agent(s, dtype)
    theta = np.zeros((O + 1, sum(parts)))
    theta[-1] = 50 * np.arange(sum(parts))
    agent.theta = theta.ravel()
    starts = np.cumsum(parts) - parts
    rest = np.zeros(1000), *np.zeros((2, 1000), bool), np.zeros((1000, O))
    for t in range(100):
        mask = random_mask(parts, 1000, seed=t)
        act, logp, _ = agent.act(np.zeros((1000, O)), mask)
        assert np.take_along_axis(mask, starts + act.astype(int), axis=1).all()
        assert np.isfinite(logp).all()
        agent.push(*rest)


# -- rollouts -------------------------------------------------------------------------------------


def update(agent):
    """The update's record without its timings."""
    return {name: value for name, value in agent.update().items() if name != "seconds"}


def same(record, other):
    """Bit-identical; NaN equals NaN."""
    return repr(record) == repr(other)


def run(implementation, s, mask_of, iterations=2):
    """An agent after complete updates in a synthetic world, and the records; mask_of(t) -> mask."""
    agent, world, records = implementation.agent(s), World(s.n_envs, gaps=True), []
    for _ in range(iterations):
        for t in range(s.n_steps):
            act, _, _ = agent.act(world.obs, mask_of(t))
            agent.push(*world.step(act))
        records.append(update(agent))
    return agent, records


def rollouts(parts=(2, 3), **more):
    return rollout_settings(distribution=("categorical", parts), **more)


def test_an_all_open_mask_changes_no_bit(implementation):
    s = rollouts(sub_sampling_factor=2)
    ones = np.ones((s.n_envs, 5), np.uint8)
    plain, records = run(implementation, s, lambda t: None)
    for mask_of in (lambda t: ones, lambda t: ones if t % 3 == 1 else None):
        masked, others = run(implementation, s, mask_of)
        assert bits(masked) == bits(plain)
        assert all(map(same, others, records))


def test_rows_keep_their_masks_when_invalid_rows_are_dropped(implementation):
    """The batch after dropping invalid rows equals those rows loaded with their masks."""
    s = rollouts()
    agent, other = shaken(implementation, s), shaken(implementation, s)
    world, rows = World(s.n_envs, gaps=True), []
    for t in range(s.n_steps):
        mask = random_mask(s.parts, s.n_envs, seed=t) if t > 4 else np.ones((s.n_envs, 5), bool)
        obs = world.obs
        act, logp, _ = agent.act(obs, mask if t > 4 else None)
        step = world.step(act)
        agent.push(*step)
        rows.append((obs, act, logp, mask, step[4]))
    obs, act, logp, mask, skip = (np.stack(column) for column in zip(*rows, strict=True))
    kept = ~skip
    assert 0 < kept.sum() < kept.size
    other.theory.load_batch(
        obs[kept], act[kept], np.ones(kept.sum()), logp=logp[kept], mask=mask[kept]
    )
    theta = agent.theta
    record = agent.update()
    assert record["outcome"] == 0
    _, kl, entropy = other.theory.evaluate(agent.theta)
    assert record["kl"] == pytest.approx(kl, rel=ROUNDING * 100)
    assert record["entropy"] == pytest.approx(entropy, rel=ROUNDING)
    assert not np.array_equal(theta, agent.theta)


def test_record_under_a_mask_equals_act(implementation):
    s = rollouts()
    acting, recording = shaken(implementation, s), shaken(implementation, s)
    obs, mask = random_batch(s, s.n_envs).obs, random_mask(s.parts, s.n_envs)
    act, logp, val = acting.act(obs, mask)
    recorded_logp, recorded_val = recording.record(obs, act, mask)
    assert logp.tobytes() == recorded_logp.tobytes()
    assert val.tobytes() == recorded_val.tobytes()
    dense = reference.dense_policy(s, mask)
    assert_close(logp, dense.logp(acting.theta, obs, act), ROUNDING)


def test_discard_forgets_masks(implementation):
    s = rollouts()
    plain, records = run(implementation, s, lambda t: None, 1)
    agent, world = implementation.agent(s), World(s.n_envs, gaps=True)
    for _ in range(3):
        agent.act(world.obs, random_mask(s.parts, s.n_envs))
        agent.push(np.zeros(5), *np.zeros((2, 5), bool), world.obs)
    agent.discard()
    for _ in range(s.n_steps):
        act, _, _ = agent.act(world.obs)
        agent.push(*world.step(act))
    assert same(update(agent), records[0])
    assert bits(agent) == bits(plain)


def test_an_update_forgets_masks(implementation):
    """A later iteration without masks equals that of an agent that never had masks."""
    s = rollouts()
    agent, _ = run(implementation, s, lambda t: random_mask(s.parts, s.n_envs, t), 1)
    fresh = implementation.agent(s)
    fresh.load_state(agent.state())
    records = []
    for each in (agent, fresh):
        world = World(s.n_envs, seed=4)
        for _ in range(s.n_steps):
            act, _, _ = each.act(world.obs)
            each.push(*world.step(act))
        records.append(update(each))
    assert same(*records)
    assert bits(agent) == bits(fresh)


# -- rejected input -------------------------------------------------------------------------------


def assert_rejected(agent, message, *calls):
    """Each call raises the message and changes nothing."""
    before = bits(agent), agent.n_recorded
    for call in calls:
        with pytest.raises(ValueError, match=message):
            call()
        assert (bits(agent), agent.n_recorded) == before


def test_a_mask_that_forbids_everything_is_rejected_with_its_place(implementation):
    s = rollouts()
    agent, obs = implementation.agent(s), np.zeros((5, O))
    mask = np.ones((5, 5), bool)
    mask[3, 2:] = False
    act, adv = np.zeros((5, 2)), np.zeros(5)
    agent.act(obs)
    agent.push(np.zeros(5), *np.zeros((2, 5), bool), obs)
    where = r"mask of environment 3 forbids all 3 choices \(component 1\) at step 1$"
    assert_rejected(
        agent, where, lambda: agent.act(obs, mask), lambda: agent.record(obs, act, mask)
    )
    assert_rejected(
        agent,
        r"mask of row 3 forbids all 3 choices \(component 1\)$",
        lambda: agent.predict(obs, True, mask),
        lambda: agent.predict(obs, False, mask),
        lambda: agent.outputs(obs, mask),
        lambda: agent.theory.load_batch(obs, act, adv, mask=mask),
    )


def test_recording_a_forbidden_action_is_rejected(implementation):
    s = rollouts()
    agent, obs = implementation.agent(s), np.zeros((5, O))
    mask, act = np.ones((5, 5), bool), np.zeros((5, 2))
    act[4, 1], mask[4, 4] = 2, False
    forbidden = r"is 2, which its mask forbids \(component 1\)"
    assert_rejected(
        agent,
        f"action of environment 4 {forbidden} at step 0$",
        lambda: agent.record(obs, act, mask),
    )
    assert_rejected(
        agent,
        f"action of row 4 {forbidden}$",
        lambda: agent.theory.load_batch(obs, act, np.zeros(5), mask=mask),
    )


def assert_all_reject(agent, message, obs, mask):
    act = np.zeros((5, 2))
    assert_rejected(
        agent,
        message,
        lambda: agent.act(obs, mask),
        lambda: agent.record(obs, act, mask),
        lambda: agent.predict(obs, True, mask),
        lambda: agent.outputs(obs, mask),
        lambda: agent.theory.load_batch(obs, act, np.zeros(5), mask=mask),
    )


@table(
    ("mask", "message"),
    [
        (np.ones((5, 4)), r"mask has shape \(5, 4\), not \(5, 5\)"),
        (np.ones(5), r"mask has shape \(5,\), not \(5, 5\)"),
        (np.eye(5) + np.eye(5), "mask has 2 in row 0, not 0 or 1"),
        (np.full((5, 5), np.nan), "mask has nan in row 0, not 0 or 1"),
    ],
)
def test_a_mask_of_wrong_shape_or_values_is_rejected(implementation, mask, message):
    agent, obs = implementation.agent(rollouts()), np.zeros((5, O))
    assert_all_reject(agent, message, obs, mask)


def test_a_policy_without_choices_rejects_masks(implementation):
    agent, obs = implementation.agent(rollout_settings()), np.zeros((5, O))
    mask = np.ones((5, 2), bool)
    message = "a gaussian policy takes no mask: masks are for actions that are choices"
    assert_all_reject(agent, message, obs, mask)
