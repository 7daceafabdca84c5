"""Every space in complete models: autoreset modes, learning, saving, predicting."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from helpers import COUNTERS, collected, counter_transitions, same_state
from pairs import pairwise
from space_envs import Identity, PartedCounter, TupleCounter
from tables import table

from fasttrpo import TRPO, Rollout, evaluate_policy

ACTIONS = {
    "box": spaces.Box(-1, 1, (2,), np.float32),
    "discrete": spaces.Discrete(4, start=3),
    "multi_discrete": spaces.MultiDiscrete([[2, 3], [2, 2]], start=[[0, 1], [-1, 4]]),
    "multi_binary": spaces.MultiBinary([2, 3]),
}


def make_counters(kind, mode, counter=PartedCounter, **keywords):
    makers = [lambda how=how: counter(*how) for how in COUNTERS]
    return kind(makers, autoreset_mode=mode, **keywords)


KINDS = [(SyncVectorEnv, {}), (SyncVectorEnv, {"copy": False}), (AsyncVectorEnv, {})]


@table(
    ("counter", "mode", "how"),
    pairwise([PartedCounter, TupleCounter], list(AutoresetMode), KINDS),
)
def test_agents_receive_every_transition_of_all_parts(counter, mode, how):
    kind, keywords = how
    agent = collected(make_counters(kind, mode, counter, **keywords), n_steps=7, rollouts=3)
    for env, (length, truncates) in enumerate(COUNTERS):
        found = agent.transitions(env)
        assert found == counter_transitions(length, truncates, len(found))
        assert len(found) == (
            21 if mode is not AutoresetMode.NEXT_STEP else 21 - 21 // (length + 1)
        )
    for obs, *_, next_obs, _ in agent.rows:
        for row in (*obs, *next_obs):
            assert row.shape == (1 + 512 + 9,)
            assert row[1 + int(row[0])] == row[1:513].sum() == 1
            assert row[513:] @ 2 ** np.arange(9) == row[0]


class Batched(VectorEnv):
    """A vector environment of two `PartedCounter`s whose infos["final_obs"] is a batch."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self):
        self.inner = make_counters(SyncVectorEnv, AutoresetMode.SAME_STEP)
        self.single_observation_space = self.inner.single_observation_space
        self.single_action_space = self.inner.single_action_space
        self.num_envs = 2

    def reset(self, **keywords):
        return self.inner.reset(**keywords)

    def step(self, actions):
        obs, *rest, infos = self.inner.step(actions)
        if "final_obs" in infos:
            final = infos["final_obs"]
            none = PartedCounter()
            none.reset()
            filled = [none.observe() if one is None else one for one in final]
            others = zip(*(one["others"] for one in filled), strict=True)
            infos["final_obs"] = {
                "number": np.array([one["number"] for one in filled]),
                "others": tuple(map(np.array, others)),
            }
        return obs, *rest, infos


def test_final_observations_may_be_a_batch():
    agent = collected(Batched(), n_steps=7, rollouts=3)
    for env, how in enumerate(COUNTERS):
        assert agent.transitions(env) == counter_transitions(*how, 21)


# -- learning --------------------------------------------------------------------------------------


def make_model(act, form, n_steps=64, **keywords):
    env = SyncVectorEnv([lambda: Identity(act, form)] * 4, autoreset_mode=AutoresetMode.SAME_STEP)
    kwargs = {"net_arch": [32]}
    keywords = {"target_kl": 0.1, "gamma": 0.0, "gae_lambda": 0.0, **keywords}
    return TRPO("MlpPolicy", env, n_steps=n_steps, policy_kwargs=kwargs, seed=0, **keywords)


@table(
    ("kind", "form"),
    [
        ("box", "itself"),
        ("discrete", "itself"),
        ("multi_discrete", "parts"),
        ("multi_binary", "row"),
    ],
)
def test_every_space_is_learnt(kind, form):
    """Each action space and each form of observation once."""
    act = ACTIONS[kind]
    model = make_model(act, form)
    before, _ = evaluate_policy(model, Identity(act, form), 20, seed=1)
    model.learn(4_096)
    after, _ = evaluate_policy(model, Identity(act, form), 20, seed=1)
    assert after > 14.4
    assert before < 13


def test_a_model_of_parts_is_saved_and_predicts_without_gymnasium(tmp_path):
    model = make_model(ACTIONS["multi_discrete"], "parts").learn(256)
    model.save(tmp_path / "model")
    env = Identity(ACTIONS["multi_discrete"], "parts")
    loaded = TRPO.load(tmp_path / "model", env=env)
    assert same_state(model, loaded)
    assert loaded.observation_space == env.observation_space
    assert loaded.action_space == env.action_space
    code = (
        "import sys; from fasttrpo import TRPO; m = TRPO.load(sys.argv[1])\n"
        "goal = [[0, 1], [-1, 4]]\n"
        "one = {'goal': (goal, 0), 'idle': [0.0]}\n"
        "two = {'goal': ([goal, goal], [0, 1]), 'idle': [[0.0], [0.5]]}\n"
        "print([m.predict(o)[0].shape for o in (one, two)], 'gymnasium' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model.npz")]
    variables = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)
    assert out.stdout.strip() == "[(2, 2), (2, 2, 2)] False"


def test_update_takes_rollouts_of_parts():
    act = ACTIONS["discrete"]
    model, twin = make_model(act, "parts"), make_model(act, "parts")
    random = np.random.default_rng(0)
    obs = {
        "goal": (random.integers(3, 7, (5, 2)), np.ones((5, 2), int)),
        "idle": np.zeros((5, 2, 1)),
    }
    no = np.zeros((5, 2), bool)
    last = {"goal": (np.array([3, 4]), np.array([0, 1])), "idle": np.zeros((2, 1))}
    rollout = Rollout(obs, random.integers(3, 7, (5, 2)), np.ones((5, 2)), no, no, last)
    assert model.update(rollout)["n_samples"] == 10
    valid = no | True
    valid[-1, 0] = False
    obs["goal"][0][-1, 0] = 99
    terminated = no.copy()
    terminated[-2, 0] = True
    rollout = Rollout(obs, rollout.actions, np.ones((5, 2)), terminated, no, last, None, valid)
    assert twin.update(rollout)["n_samples"] == 9
    rollout.valid = None
    with pytest.raises(ValueError, match=r"obs\['goal'\]\[0\] 99 of environment 0 at step 4"):
        model.update(rollout)
    rollout.obs = obs["idle"]
    with pytest.raises(TypeError, match="rollout obs must be a dict with"):
        model.update(rollout)


def test_images_are_accepted_with_a_warning():
    class Pictures(Identity):
        def __init__(self):
            super().__init__(spaces.Discrete(2))
            self.observation_space = spaces.Box(0, 255, (4, 4, 3), np.uint8)

        def _next(self):
            super()._next()
            return np.full((4, 4, 3), 255 * self.goal, np.uint8)

    with pytest.warns(
        UserWarning, match=r"observation is an image: .* the policy is an MLP"
    ) as warned:
        model = TRPO("MlpPolicy", Pictures(), n_steps=64, seed=0, target_kl=0.05, gamma=0.0)
    assert len(warned) == 1
    assert evaluate_policy(model.learn(2_000), Pictures(), 10)[0] == 16


# -- clipping and scaling --------------------------------------------------------------------------


class RecordsActions(Identity):
    """Accepts any action."""

    def step(self, action):
        self.sent.append(np.array(action))
        self.t += 1
        return self._next(), 0.0, False, self.t == 16, {}


def train_and_record(**keywords):
    env = RecordsActions(spaces.Box(np.float32([-1, 4]), np.float32([1, 10])))
    model = TRPO("MlpPolicy", env, n_steps=64, seed=0, **keywords).learn(64)
    return np.array(env.sent), model


def test_actions_are_clipped_and_scaled_as_set():
    clipped, _ = train_and_record()
    drawn, _ = train_and_record(clip_actions=False)
    assert np.abs(drawn[0]).max() < 4
    np.testing.assert_array_equal(clipped, np.clip(drawn, [-1, 4], [1, 10]))
    scaled, model = train_and_record(scale_actions=True)
    np.testing.assert_allclose(scaled, np.clip(drawn, -1, 1) * [1, 3] + [0, 7], rtol=1e-5)
    free, _ = train_and_record(scale_actions=True, clip_actions=False)
    np.testing.assert_allclose(free, drawn * [1, 3] + [0, 7], rtol=1e-4, atol=1e-5)
    obs = np.zeros((50, 2))
    assert (model.predict(obs)[0] >= [-1, 4]).all()


@pytest.mark.parametrize("keywords", [{"scale_actions": True}, {"clip_actions": False}])
def test_action_settings_are_saved(keywords, tmp_path):
    model = TRPO("MlpPolicy", "Pendulum-v1", n_envs=4, n_steps=64, seed=0, **keywords).learn(512)
    model.save(tmp_path / "model")
    loaded = TRPO.load(tmp_path / "model")
    obs = np.random.default_rng(0).normal(size=(9, 3))
    np.testing.assert_array_equal(*(m.predict(obs, deterministic=True)[0] for m in (model, loaded)))
    with pytest.raises(TypeError, match="scale_actions of a saved model cannot be changed"):
        TRPO.load(tmp_path / "model", scale_actions=False)


def test_compiled_environments_receive_scaled_actions(monkeypatch):
    """Collection in C does not scale, so they are stepped from Python."""
    keywords = {"n_steps": 32, "seed": 0, "scale_actions": True}
    pytest.importorskip(
        "fasttrpo.core._envs", reason="this installation has no compiled environments"
    )
    from fasttrpo.envs import CompiledVectorEnv

    actions = []
    step = CompiledVectorEnv.step
    monkeypatch.setattr(
        CompiledVectorEnv, "step", lambda env, act: (actions.append(act), step(env, act))[1]
    )
    TRPO("MlpPolicy", "Pendulum-v1", **keywords).learn(32)
    assert len(actions) == 32
    assert np.abs(actions).max() > 1  # the torque's bounds are -2 and 2
