"""Models with action masks: forbidden actions are never taken, and masks help learning."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from helpers import Pointer, same_state, small_model
from space_envs import Identity

from fasttrpo import TRPO, Rollout, evaluate_policy

ACTIONS = {
    "discrete": spaces.Discrete(6, start=-2),
    "multi_discrete": spaces.MultiDiscrete([[2, 3], [4, 2]], start=[[0, 1], [-1, 4]]),
}
# Registered versions differ between Gymnasium releases.
TAXI = max(name for name in gymnasium.registry if name.startswith("Taxi-v"))
every_kind = pytest.mark.parametrize("kind", ACTIONS)


def parts_of(act):
    return (int(act.n),) if isinstance(act, spaces.Discrete) else tuple(np.ravel(act.nvec).tolist())


def random_masks(random, n, parts, goals=None):
    """(n, A) bool with about half of the choices open, always including those of goals (n, D)."""
    masks = random.random((n, sum(parts))) < 0.5
    starts = np.cumsum(parts) - parts
    goals = random.integers(0, parts, (n, len(parts))) if goals is None else goals
    np.put_along_axis(masks, starts + goals, True, axis=1)
    return masks


def choices_of(act, actions, n):
    """(n, D) counted from zero."""
    return np.reshape(actions - act.start, (n, -1))


def allowed(masks, choices, parts):
    starts = np.cumsum(parts) - parts
    return np.take_along_axis(masks, starts + choices, axis=1).all()


class MaskedIdentity(Identity):
    """Its goal and half of the other choices are open; a forbidden action raises.

    form  how the mask is passed: "info", "parts" (a tuple in the info) or "method"
    """

    def __init__(self, act, form="info"):
        super().__init__(act)
        self.form, self.parts = form, parts_of(act)

    def reset(self, **keywords):
        obs, _ = super().reset(**keywords)
        return obs, self._info()

    def step(self, action):
        choices = choices_of(self.action_space, action, 1)
        assert allowed(self.mask, choices, self.parts), f"{action} is forbidden"
        *rest, _ = super().step(action)
        return *rest, self._info()

    def _next(self):
        obs = super()._next()
        goal = choices_of(self.action_space, self.goal, 1)
        self.mask = random_masks(self.np_random, 1, self.parts, goal)
        return obs

    def _info(self):
        if self.form == "method":
            return {}
        split = tuple(np.split(self.mask[0], np.cumsum(self.parts)[:-1]))
        return {"action_mask": split if self.form == "parts" else self.mask[0].astype(np.int8)}


class WithMethod(MaskedIdentity):
    def action_masks(self):
        return self.mask[0]


def learner(act, form, mode=AutoresetMode.SAME_STEP, **keywords):
    kind = WithMethod if form == "method" else MaskedIdentity
    env = SyncVectorEnv([lambda: kind(act, form)] * 4, autoreset_mode=mode)
    keywords = {"target_kl": 0.1, "gamma": 0.0, "gae_lambda": 0.0, **keywords}
    return TRPO("MlpPolicy", env, n_steps=64, policy_kwargs={"net_arch": [32]}, seed=0, **keywords)


@every_kind
def test_every_form_of_masks_gives_the_same_rows(kind):
    """In training, and in an evaluation, where a forbidden action raises."""
    models = {form: learner(ACTIONS[kind], form).learn(512) for form in ("info", "parts", "method")}
    assert all(same_state(model, models["info"]) for model in models.values())
    for form, model in models.items():
        env = (WithMethod if form == "method" else MaskedIdentity)(ACTIONS[kind], form)
        evaluate_policy(model, env, 2, deterministic=False, seed=1)


@every_kind
def test_masked_models_learn(kind):
    act = ACTIONS[kind]
    model, env = learner(act, "info"), MaskedIdentity(act)
    before, _ = evaluate_policy(model, env, 20, deterministic=False, seed=1)
    model.learn(4_096)
    after, _ = evaluate_policy(model, env, 20, seed=1)
    assert after > 15
    assert before < 14


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_no_forbidden_action_is_taken_under_any_autoreset_mode(mode):
    learner(ACTIONS["discrete"], "info", mode).learn(1_000)


class Fast(VectorEnv):
    """Fifty environments with new random masks at every step; counts its steps."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012
    num_envs = 50

    def __init__(self, act):
        self.single_observation_space = spaces.Box(-1, 1, (3,))
        self.single_action_space, self.parts = act, parts_of(act)
        self.random = np.random.default_rng(0)
        self.steps = 0

    def reset(self, *, seed=None, options=None):
        return self.observe(), self._infos()

    def step(self, actions):
        choices = choices_of(self.single_action_space, actions, self.num_envs)
        assert allowed(self.masks, choices, self.parts)
        self.steps += self.num_envs
        no = np.zeros(self.num_envs, bool)
        return self.observe(), choices.sum(axis=1) * 1.0, no, no, self._infos()

    def observe(self):
        return self.random.normal(size=(self.num_envs, 3)).astype(np.float32)

    def _infos(self):
        self.masks = random_masks(self.random, self.num_envs, self.parts)
        return {"action_mask": self.masks}


@every_kind
def test_masked_actions_are_never_taken(kind):
    """100,000 sampled steps of a policy that learns to prefer the largest numbers."""
    env = Fast(ACTIONS[kind])
    TRPO("MlpPolicy", env, n_steps=100, policy_kwargs={"net_arch": [8]}, seed=0).learn(100_000)
    assert env.steps == 100_000


class Watched(gymnasium.Wrapper):
    """Taxi whose forbidden actions raise."""

    def reset(self, **keywords):
        obs, self.info = self.env.reset(**keywords)
        return obs, self.info

    def step(self, action):
        assert self.info["action_mask"][action] == 1
        *rest, self.info = self.env.step(action)
        return *rest, self.info


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_taxi_masks_are_followed(mode):
    env = SyncVectorEnv([lambda: Watched(gymnasium.make(TAXI))] * 2, autoreset_mode=mode)
    model = small_model(env, n_steps=64).learn(256)
    assert model.observation_space == spaces.Discrete(500)
    mean, _ = evaluate_policy(model, Watched(gymnasium.make(TAXI)), 2, deterministic=False)
    assert np.isfinite(mean)
    assert small_model(TAXI).learn(64).num_timesteps == 64


# -- errors ---------------------------------------------------------------------------------------


class Forbidding(MaskedIdentity):
    """Forbids all choices of one component after step 3, once."""

    broken = True

    def _next(self):
        obs = super()._next()
        if self.t == 4 and self.broken:
            self.broken = False
            self.mask[0, -2:] = False
        return obs


@pytest.mark.parametrize("backend", [None, "portable"])
def test_a_mask_that_forbids_everything_raises_and_changes_nothing(backend):
    act = ACTIONS["multi_discrete"]
    env = SyncVectorEnv(
        [lambda: MaskedIdentity(act), lambda: Forbidding(act)],
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    model = small_model(env, backend=backend)
    twin = small_model(learner(act, "info").get_env(), backend=backend)
    with pytest.raises(
        ValueError, match=r"mask of environment 1 forbids .*component 3.* at step 4"
    ):
        model.learn(64)
    with pytest.raises(
        ValueError, match=r"mask of environment 0 forbids .*component 3.* at step 4"
    ):
        evaluate_policy(model, Forbidding(act), 1)
    assert (model.num_timesteps, model.n_updates) == (0, 0)
    np.testing.assert_array_equal(model.theta, twin.theta)
    assert model.learn(64).n_updates == 2


# -- predict, update and evaluate -----------------------------------------------------------------


@every_kind
def test_predict_follows_masks(kind):
    act = ACTIONS[kind]
    parts = parts_of(act)
    model = learner(act, "info")
    random = np.random.default_rng(0)
    obs = random.normal(size=(40, sum(parts)))
    masks = random_masks(random, 40, parts)
    for deterministic in (False, True):
        actions, _ = model.predict(obs, deterministic=deterministic, action_masks=masks)
        assert allowed(masks, choices_of(act, actions, 40), parts)
        split = np.split(masks, np.cumsum(parts)[:-1], axis=1)
        if len(parts) > 1:
            again, _ = model.predict(obs, deterministic=True, action_masks=split)
            assert allowed(masks, choices_of(act, again, 40), parts)
        alone, _ = model.predict(obs[3], deterministic=deterministic, action_masks=masks[3])
        assert allowed(masks[3:4], choices_of(act, alone, 1), parts)
        assert act.contains(alone)
    free, _ = model.predict(obs, deterministic=True)
    opened, _ = model.predict(obs, deterministic=True, action_masks=np.ones(masks.shape))
    np.testing.assert_array_equal(free, opened)


def test_predict_rejects_invalid_masks():
    model = learner(ACTIONS["discrete"], "info")
    obs = np.zeros((2, 6))
    with pytest.raises(ValueError, match=r"action_masks has shape \(6,\) .* shape \(2, 6\)"):
        model.predict(obs, action_masks=np.ones(6))
    with pytest.raises(ValueError, match=r"action_masks has 2 of row 1, not True or False"):
        model.predict(obs, action_masks=[[1] * 6, [2] * 6])
    with pytest.raises(ValueError, match=r"mask of row 1 forbids"):
        model.predict(obs, action_masks=[[1] * 6, [0] * 6])
    with pytest.raises(ValueError, match=r"action_masks: only Discrete and MultiDiscrete actions"):
        small_model(Pointer()).predict(np.zeros((2, 1)), action_masks=np.ones(2))


class Recorded(Fast):
    """Records everything that a rollout consists of."""

    def __init__(self, act):
        super().__init__(act)
        self.observations, self.masks_sent, self.actions, self.rewards = [], [], [], []

    def observe(self):
        self.observations.append(super().observe())
        return self.observations[-1]

    def _infos(self):
        infos = super()._infos()
        self.masks_sent.append(self.masks)
        return infos

    def step(self, actions):
        answer = super().step(actions)
        self.actions.append(np.array(actions))
        self.rewards.append(answer[1])
        return answer

    def rollout(self):
        no = np.zeros(np.shape(self.rewards), bool)
        observations = np.array(self.observations)
        return Rollout(
            observations[:-1],
            np.array(self.actions),
            np.array(self.rewards),
            no,
            no,
            observations[-1],
            action_masks=np.array(self.masks_sent[:-1]),
        )


@every_kind
def test_update_with_a_masked_rollout_equals_learn(kind):
    """`update` with the rollout that `learn` collected gives the same policy."""
    env = Recorded(ACTIONS[kind])
    model, twin = small_model(env), small_model(Fast(ACTIONS[kind]))
    model.learn(800)
    rollout = env.rollout()
    twin.update(rollout)
    np.testing.assert_array_equal(model.theta, twin.theta)
    np.testing.assert_array_equal(model.value_theta, twin.value_theta)
    before = twin.theta
    choices = choices_of(ACTIONS[kind], rollout.actions[2, 7], 1)[0]
    rollout.action_masks[2, 7, choices[0]] = False
    rollout.action_masks[2, 7, (choices[0] + 1) % parts_of(ACTIONS[kind])[0]] = True
    with pytest.raises(ValueError, match=r"action of environment 7 is .* forbids .* at step 2"):
        twin.update(rollout)
    rollout.action_masks = rollout.action_masks[..., 1:]
    with pytest.raises(ValueError, match=r"rollout action_masks has shape \(16, 50, "):
        twin.update(rollout)
    np.testing.assert_array_equal(twin.theta, before)


def test_masks_of_invalid_rows_are_ignored():
    env = Recorded(ACTIONS["discrete"])
    small_model(env).learn(800)
    first, second = small_model(Fast(ACTIONS["discrete"])), small_model(Fast(ACTIONS["discrete"]))
    for model, filler in ((first, True), (second, False)):
        rollout = env.rollout()
        rollout.valid = np.ones((16, 50), bool)
        rollout.valid[-1, 4] = False
        rollout.terminated = ~rollout.valid
        rollout.terminated[-2, 4] = True
        rollout.action_masks[-1, 4] = filler
        assert model.update(rollout)["n_samples"] == 799
    assert same_state(first, second)


class Other:
    """Another library's model, whose predict has no action_masks."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        self.called = True
        return np.zeros(len(observation), int), None


class OtherWithMasks(Other):
    def predict(self, observation, deterministic=False, action_masks=None):
        assert action_masks.any()
        return action_masks.argmax(axis=1) - 2, None


def test_evaluate_passes_masks_only_to_models_that_accept_them():
    assert evaluate_policy(OtherWithMasks(), MaskedIdentity(ACTIONS["discrete"]), 2)[0] > 0
    other = Other()
    evaluate_policy(other, gymnasium.make(TAXI), 1)
    assert other.called
