"""`model.policy.evaluate_actions` and `get_distribution`, for every kind of actions."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from helpers import insides
from space_envs import Identity
from tables import table
from tolerances import PASSES, SAMPLING, assert_close

from fasttrpo import TRPO, theory
from fasttrpo.callbacks import BaseCallback

ACTIONS = {
    "box": spaces.Box(np.array([[-1, 0], [-2, -3]], np.float32), 3, (2, 2)),
    "discrete": spaces.Discrete(5, start=-2),
    "multi_discrete": spaces.MultiDiscrete([2, 4, 3]),
    "multi_binary": spaces.MultiBinary(3),
}
KINDS = tuple(ACTIONS)
N = 20_000  # samples


def made(kind, **keywords):
    """A model of the space's Identity, with parameters far from the initial ones."""
    settings = {"n_steps": 32, "policy_kwargs": {"net_arch": [8], "log_std_init": -0.7}, "seed": 3}
    model = TRPO("MlpPolicy", Identity(ACTIONS[kind], "parts"), **settings | keywords)
    draws = np.random.default_rng(1)
    model.theta = model.theta + draws.normal(0, 0.4, model.theta.shape)
    return model


def observations(kind, n):
    """A batch of n observations of the same environment."""
    env = Identity(ACTIONS[kind], "parts")
    obs = [env.reset(seed=i)[0] for i in range(n)]
    return {
        "goal": tuple(np.stack(part) for part in zip(*(each["goal"] for each in obs), strict=True)),
        "idle": np.stack([each["idle"] for each in obs]),
    }


class Evaluated(BaseCallback):
    """Compares each row with what `evaluate_actions` says about it."""

    def __init__(self, tolerance):
        super().__init__()
        self.tolerance = tolerance

    def _on_step(self):
        of_row = self.locals["obs"], self.locals["actions"]
        values, log_prob, _ = self.model.policy.evaluate_actions(*of_row)
        assert_close(values[:, 0], self.locals["values"], self.tolerance, "values")
        assert_close(log_prob, self.locals["log_probs"], self.tolerance, "log_prob")
        assert log_prob.dtype == values.dtype == self.locals["values"].dtype
        return True


@table("changes", [{}, {"scale_actions": True}, {"dtype": "float64"}])
@table("kind", KINDS)
def test_actions_are_evaluated_as_the_rollout_recorded_them(kind, changes):
    """Also normalised observations, and with actions that are scaled and clipped."""
    if kind != "box" and "scale_actions" in changes:
        return  # only a Box can be scaled
    model = made(kind, normalize_observations=True, **changes)
    model.learn(96, callback=Evaluated(PASSES[model.settings.dtype]))
    assert model.n_updates == 3


@table("kind", KINDS)
def test_ratios_are_those_of_the_surrogate(kind):
    model = made(kind, dtype="float64")
    obs, old = observations(kind, 50), model.theta
    before = model.policy.get_distribution(obs)
    actions = before.sample()
    model.theta = new = old + 0.01
    _, after, _ = model.policy.evaluate_actions(obs, actions)
    trainer, advantages = insides(model), np.linspace(-1, 2, 50)
    policy = theory.Policy(
        trainer.observations.size, trainer.actions.distribution, trainer.actions.parts, (8,)
    )
    rows, _ = trainer.observations.batch(obs)
    drawn = (
        actions if kind == "box" else trainer.actions.choices.from_zero("", actions.reshape(50, -1))
    )
    expected = theory.surrogate(policy, new, old, rows, drawn.reshape(50, -1), advantages)
    ratios = np.exp(after - before.log_prob(actions))  # `before` keeps the old parameters
    assert_close(np.mean(ratios * advantages), expected, PASSES["float64"])


@table("kind", KINDS)
def test_samples_entropy_and_mode_agree_with_the_probabilities(kind):
    model = made(kind)
    one = {
        "goal": tuple(part[0] for part in observations(kind, 1)["goal"]),
        "idle": np.zeros(1, np.float32),
    }
    single = model.policy.get_distribution(one)
    many = {
        "goal": tuple(np.repeat(part[None], N, axis=0) for part in one["goal"]),
        "idle": np.zeros((N, 1), np.float32),
    }
    distribution = model.policy.get_distribution(many)
    samples = distribution.get_actions()
    assert samples.shape == (N, *ACTIONS[kind].shape)
    logs = distribution.log_prob(samples)
    spread = SAMPLING * np.std(logs) / np.sqrt(N)
    assert abs(np.mean(-logs) - distribution.entropy()[0]) < spread + 1e-6  # H = E[-log p]

    best = single.get_actions(deterministic=True)
    assert best.dtype == samples.dtype
    assert (single.log_prob(best) >= np.max(logs) - 1e-6).all()
    sent, _ = model.predict(one, deterministic=True)
    if kind == "box":
        best = np.clip(best, ACTIONS[kind].low, ACTIONS[kind].high)
    assert np.array_equal(best[0], sent)
    assert single.log_prob(sent).shape == single.entropy().shape == (1,)


def test_parameters_have_the_names_of_torch():
    gaussian, choice, choices, bits = (
        made(kind).policy.get_distribution(observations(kind, 6)) for kind in KINDS
    )
    mean, std = gaussian.distribution.mean, gaussian.distribution.stddev
    assert mean.shape == std.shape == (6, 2, 2)
    assert np.array_equal(gaussian.mode(), mean)
    assert_close(std[0].ravel(), np.exp(gaussian.log_std), PASSES["float32"])
    assert choice.distribution.probs.shape == choice.probs.shape == (6, 5)
    assert [part.probs.shape for part in choices.distribution] == [(6, 2), (6, 4), (6, 3)]
    for part in (choice, *choices.distribution):
        assert_close(part.probs.sum(axis=1), np.ones(6), PASSES["float32"])
        assert_close(np.exp(part.logits), part.probs, PASSES["float32"])
    assert_close(1 / (1 + np.exp(-bits.distribution.logits)), bits.probs, PASSES["float32"])


@table("kind", ["discrete", "multi_discrete"])
def test_masks_leave_the_probabilities_of_the_allowed_choices_in_proportion(kind):
    model, obs = made(kind), observations(kind, 8)
    n_choices = sum(insides(model).actions.parts)
    masks = np.random.default_rng(0).random((8, n_choices)) < 0.6
    masks[:, [0, 1, 2, -1]] = True  # one of each component
    free = model.policy.get_distribution(obs)
    masked = model.policy.get_distribution(obs, action_masks=masks)
    as_list = [free], [masked]
    if kind == "multi_discrete":
        as_list = free.distribution, masked.distribution
    start = 0
    for all_choices, allowed in zip(*as_list, strict=True):
        mask = masks[:, start : (start := start + all_choices.probs.shape[1])]
        expected = all_choices.probs * mask
        expected /= expected.sum(axis=1, keepdims=True)
        assert_close(allowed.probs, expected, PASSES["float32"])
    assert np.isfinite(masked.entropy()).all()
    samples = masked.sample()
    _, log_prob, _ = model.policy.evaluate_actions(obs, samples, action_masks=masks)
    assert np.array_equal(log_prob, masked.log_prob(samples))
    assert (log_prob > -20).all()


def test_samples_repeat_with_the_seed_and_leave_training_alone():
    def theta_and_samples(n_samples):
        model = made("box")
        obs, samples = observations("box", 2), []
        for _ in range(2):
            model.learn(32, reset_num_timesteps=False)
            samples += [model.policy.get_distribution(obs).sample() for _ in range(n_samples)]
        return model.theta, samples, model.predict(obs)[0]

    (theta, samples, action), (same, again, drawn), (untouched, _, usual) = map(
        theta_and_samples, (2, 2, 0)
    )
    assert np.array_equal(samples, again)
    assert not np.array_equal(samples[0], samples[1])
    for one, other in ((theta, same), (theta, untouched), (action, drawn), (action, usual)):
        assert np.array_equal(one, other)


@table(
    ("kind", "actions", "message"),
    [
        ("box", np.zeros((3, 2, 2)), r"actions has shape \(3, 2, 2\), expected \(2, 2, 2\)"),
        ("box", np.full((2, 2, 2), np.nan), "action of row 0 is not finite"),
        ("discrete", [0, 3], "action 3 of row 1 is not an integer from -2 to 2"),
        ("multi_discrete", np.full((2, 3), 2), r"not an integer from 0 to 1 \(component 0\)"),
        ("multi_binary", np.full((2, 3), 0.5), "not an integer from 0 to 1"),
    ],
)
def test_actions_outside_the_space_are_refused(kind, actions, message):
    with pytest.raises(ValueError, match=message):
        made(kind).policy.evaluate_actions(observations(kind, 2), actions)


# -- the peer, where it is installed ---------------------------------------------------------------

PEER_ACTIONS = {  # Stable-Baselines3 supports neither a start nor actions with several axes
    "box": spaces.Box(-1, 3, (2,)),
    "discrete": spaces.Discrete(5),
    "multi_discrete": spaces.MultiDiscrete([2, 4, 3]),
    "multi_binary": spaces.MultiBinary(3),
}


def peer_and_model(kind, ortho_init=True):
    """A policy of Stable-Baselines3, and a model of the same shape."""
    policies = pytest.importorskip("stable_baselines3.common.policies")
    model = TRPO(
        "MlpPolicy",
        Identity(PEER_ACTIONS[kind]),
        n_steps=32,
        policy_kwargs={"net_arch": [64, 64], "ortho_init": ortho_init, "log_std_init": -0.5},
    )
    seen, act = model.observation_space, model.action_space
    peer = policies.ActorCriticPolicy(
        seen, act, lambda _: 1e-3, [64, 64], ortho_init=ortho_init, log_std_init=-0.5
    )
    return peer, model


@pytest.mark.parametrize("kind", KINDS)
def test_the_peer_with_the_same_weights_gives_the_same_numbers(kind):
    peer, model = peer_and_model(kind)
    torch = pytest.importorskip("torch")
    draws = np.random.default_rng(0)
    weights = {
        name: values + draws.normal(0, 0.2, values.shape)
        for name, values in model.policy.state_dict().items()
    }
    model.policy.load_state_dict(weights)
    tensors = {name: torch.as_tensor(values) for name, values in weights.items()}
    peer.load_state_dict(tensors)
    obs = draws.normal(size=(40, *model.observation_space.shape))
    as_tensor = torch.as_tensor(obs, dtype=torch.float32)
    actions = model.policy.get_distribution(obs).sample()
    with torch.no_grad():
        expected = peer.evaluate_actions(as_tensor, torch.as_tensor(actions).float())
        theirs = peer.get_distribution(as_tensor)
    names = ("values", "log_prob", "entropy")
    for name, mine, other in zip(
        names, model.policy.evaluate_actions(obs, actions), expected, strict=True
    ):
        assert_close(mine, other.numpy(), PASSES["float32"], name)
    ours = model.policy.get_distribution(obs)
    assert_close(ours.mode(), theirs.mode().numpy(), PASSES["float32"])
    lists = [
        each if isinstance(each, list) else [each]
        for each in (ours.distribution, theirs.distribution)
    ]
    for mine, other in zip(*lists, strict=True):
        for name in ("mean", "stddev") if kind == "box" else ("probs", "logits"):
            assert_close(getattr(mine, name), getattr(other, name).numpy(), PASSES["float32"], name)


@pytest.mark.parametrize("ortho_init", [True, False])
def test_initial_weights_have_the_size_of_the_peers(ortho_init):
    """Orthogonal weights have a norm without chance in it; uniform ones, a bound."""
    peer, model = peer_and_model("box", ortho_init)
    theirs = {name: value.detach().numpy() for name, value in peer.state_dict().items()}
    ours = model.policy.state_dict()
    for name, mine in ours.items():
        if ortho_init:
            assert_close(np.linalg.norm(mine), np.linalg.norm(theirs[name]), 1e-5, name)
        elif mine.size >= 64:
            bound = 1 / np.sqrt(ours[name.replace("bias", "weight")].shape[1])  # of n inputs
            for values in (mine, theirs[name]):
                assert 0.9 * bound < np.abs(values).max() <= bound * (1 + 1e-6), name
            expected, error = 1 / 3, np.sqrt(4 / 45 / mine.size)  # of (w / bound)^2
            assert abs(np.mean((mine / bound) ** 2) - expected) < SAMPLING * error, name
