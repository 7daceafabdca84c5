"""The calls of Stable-Baselines3 scripts: arguments, environments, named parameters.

The environments here implement `VecEnv`'s calls without the library. test_migration.py runs with
the library where it is installed.
"""

from __future__ import annotations

import copy
import io
import pickle
import sys
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from helpers import Counter, insides, same_state, small_model
from tables import table
from vec_env import VecCartPole

from fasttrpo import TRPO, evaluate_policy
from fasttrpo.callbacks import CheckpointCallback, EvalCallback
from fasttrpo.sb3.env import WrappedVecEnv


@pytest.fixture
def model():
    return TRPO("MlpPolicy", "CartPole-v1", n_steps=32, n_envs=2, seed=0)


# -- arguments ------------------------------------------------------------------------------------


class ActorCriticPolicy:
    """Has the name of Stable-Baselines3's class."""


@pytest.mark.parametrize("policy", ["MultiInputPolicy", ActorCriticPolicy])
def test_other_names_of_the_mlp_policy_are_accepted(policy):
    assert TRPO(policy, "CartPole-v1", n_steps=8).settings.policy == "MlpPolicy"


def test_convolutions_are_rejected_with_an_alternative():
    with pytest.raises(ValueError, match=r"CnnPolicy.*convolutions.*'MlpPolicy'"):
        TRPO("CnnPolicy", "CartPole-v1")


def test_harmless_arguments_are_accepted():
    given = {"use_sde": False, "sde_sample_freq": 4, "device": "auto", "_init_setup_model": True}
    kwargs = {"share_features_extractor": False, "normalize_images": True, "net_arch": [8]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = TRPO("MlpPolicy", "CartPole-v1", n_steps=8, policy_kwargs=kwargs, **given)
    assert model.settings.policy_kwargs["net_arch"] == {"pi": [8], "vf": [8]}


@table(
    ("name", "value", "reason"),
    [
        ("use_sde", True, "gSDE"),
        ("rollout_buffer_class", object, "the core stores rollouts"),
        ("_init_setup_model", False, "built at once"),
        ("device", "tpu", "'auto' or 'cpu'"),
    ],
)
def test_unsupported_arguments_are_rejected_with_the_reason(name, value, reason):
    with pytest.raises(ValueError, match=reason):
        TRPO("MlpPolicy", "CartPole-v1", **{name: value})


@table(
    ("name", "value", "reason"),
    [
        ("use_sde", True, "gSDE"),
        ("normalize_images", False, "pass them as floats"),
        ("optimizer_class", object, "critic="),
        ("features_extractor_class", object, "flattened"),
    ],
)
def test_unsupported_policy_kwargs_are_rejected_with_the_reason(name, value, reason):
    with pytest.raises(ValueError, match=reason):
        TRPO("MlpPolicy", "CartPole-v1", policy_kwargs={name: value})


def test_a_gpu_device_warns():
    with pytest.warns(UserWarning, match="runs on the CPU"):
        TRPO("MlpPolicy", "CartPole-v1", n_steps=8, device="cuda:0")


def test_a_single_row_raises_both_error_types():
    with pytest.raises(ValueError, match="at least 2"):
        TRPO("MlpPolicy", "CartPole-v1", n_steps=1)
    with pytest.raises(AssertionError):
        TRPO("MlpPolicy", "CartPole-v1", n_steps=1)
    TRPO("MlpPolicy", "CartPole-v1", n_steps=1, normalize_advantage=False)


def test_a_batch_size_beyond_the_rows_warns():
    with pytest.warns(UserWarning, match="batch_size=8, but an iteration has .* = 6 rows"):
        TRPO("MlpPolicy", "CartPole-v1", n_steps=6, batch_size=8)


# -- layers too large for K-FAC -------------------------------------------------------------------


class Wide(gymnasium.Env):
    """2,000 components, for which K-FAC would need a matrix of 32 MB."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2000,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 2000).astype(np.float32), {}

    def step(self, action):
        return self.np_random.uniform(-1, 1, 2000).astype(np.float32), 1.0, False, False, {}


def test_wide_observations_switch_kfac_off():
    with pytest.warns(UserWarning, match=r"critic='adam' instead of 'kfac'.* 2000-4-2"):
        model = TRPO("MlpPolicy", Wide(), n_steps=16, policy_kwargs={"net_arch": [4]})
    assert (model.preconditioner, model.critic) == ("none", "adam")
    model.learn(16)


@pytest.mark.parametrize(
    ("actions", "n"),
    [(gymnasium.spaces.Discrete(2000), 2000), (gymnasium.spaces.MultiDiscrete([700, 700]), 1400)],
)
def test_many_choices_switch_kfac_off(actions, n):
    """Their factor would take minutes per update; the critic has one output and keeps K-FAC."""
    env = Counter(4)
    env.action_space = actions
    what = rf"^preconditioner='none' instead of 'kfac'.* layers are 1-4-{n}"
    with pytest.warns(UserWarning, match=what):
        model = TRPO("MlpPolicy", env, n_steps=16, policy_kwargs={"net_arch": [4]})
    assert (model.preconditioner, model.critic) == ("none", "kfac")
    model.learn(16)


# -- settings as attributes -----------------------------------------------------------------------


def test_settings_can_be_read_and_set_as_attributes(model):
    assert (model.gamma, model.n_steps, model.verbose) == (0.99, 32, 0)
    model.target_kl = 0.02
    model.verbose = 1
    assert (model.settings.target_kl, model.settings.verbose) == (0.02, 1)
    with pytest.raises(TypeError, match="seed of a saved model cannot be changed"):
        model.seed = 3
    with pytest.raises(AttributeError, match="set_env"):
        model.n_envs = 3
    with pytest.raises(AttributeError, match="no attribute 'gama'"):
        _ = model.gama


def test_a_setting_set_later_equals_one_loaded(model, tmp_path):
    """The next iteration is bit-identical to that of a model loaded with the setting."""
    model.save(tmp_path / "model")
    model.target_kl = 0.003
    model.learn(64)
    other = TRPO.load(tmp_path / "model", env="CartPole-v1", target_kl=0.003).learn(64)
    np.testing.assert_array_equal(model.theta, other.theta)


def test_a_rejected_setting_changes_nothing(model):
    before = model.settings
    with pytest.raises(ValueError, match="gamma"):
        model.gamma = 2
    assert model.settings == before


def test_set_random_seed_starts_new_streams(model):
    theta = model.theta
    obs = np.zeros((100, 4))
    first = [model.predict(obs)[0] for _ in range(2)]
    model.set_random_seed(5)
    again = model.predict(obs)[0]
    model.set_random_seed(None)
    np.testing.assert_array_equal(model.theta, theta)
    assert model.settings.seed == 5
    assert not any(np.array_equal(again, each) for each in first)
    model.set_random_seed(5)
    np.testing.assert_array_equal(model.predict(obs)[0], again)


def test_counts_and_records_can_be_set(model):
    model.learn(64)
    model.n_updates, model.num_timesteps, model.records = 5, 7, []
    model.learn(1, reset_num_timesteps=False)
    assert model.n_updates == 6
    assert model.num_timesteps == 7 + model.n_steps * model.n_envs
    assert [record["iteration"] for record in model.records] == [6]


# -- parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_named_parameters_compute_the_policy(env_id):
    """Plain algebra on the named arrays gives the mean, or the most probable, action."""
    kwargs = {"net_arch": {"pi": [5, 7], "vf": [3]}}
    model = TRPO("MlpPolicy", env_id, n_steps=8, policy_kwargs=kwargs, seed=0)
    named = model.policy.state_dict()
    x = rows = np.random.default_rng(0).normal(size=(20, model.observation_space.shape[0]))
    for name in ("mlp_extractor.policy_net.0", "mlp_extractor.policy_net.2"):
        x = np.tanh(x @ named[f"{name}.weight"].T + named[f"{name}.bias"])
    out = x @ named["action_net.weight"].T + named["action_net.bias"]
    action, _ = model.predict(rows, deterministic=True)
    if env_id == "CartPole-v1":
        np.testing.assert_array_equal(action, out.argmax(axis=1))
    else:
        np.testing.assert_allclose(action, np.clip(out, -2, 2), rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(named["log_std"], np.zeros(1))
    assert named["mlp_extractor.value_net.0.weight"].shape == (3, rows.shape[1])
    assert named["value_net.weight"].shape == (1, 3)


def test_parameters_round_trip(model):
    other = TRPO("MlpPolicy", "CartPole-v1", n_steps=8, seed=1)
    other.set_parameters(model.get_parameters())
    np.testing.assert_array_equal(other.theta, model.theta)
    np.testing.assert_array_equal(other.value_theta, model.value_theta)


def test_parameters_that_do_not_fit_change_nothing(model):
    given, before = model.get_parameters(), model.theta
    with pytest.raises(ValueError, match=r"no parameters of \['critic'\]"):
        model.set_parameters({**given, "critic": {}})
    with pytest.raises(ValueError, match="'policy' are missing"):
        model.set_parameters({})
    policy = given["policy"]
    with pytest.raises(RuntimeError, match=r"missing: \['value_net\.bias'\]"):
        model.set_parameters({"policy": {k: v for k, v in policy.items() if k != "value_net.bias"}})
    changed = {**policy, "action_net.bias": policy["action_net.bias"] + 1}
    with pytest.raises(RuntimeError, match=r"value_net.bias has shape \(2,\), expected \(1,\)"):
        model.policy.load_state_dict({**changed, "value_net.bias": np.zeros(2)})
    with pytest.raises(RuntimeError, match=r"value_net\.bias is not finite"):
        model.policy.load_state_dict({**changed, "value_net.bias": np.array([np.nan])})
    np.testing.assert_array_equal(model.theta, before)
    model.set_parameters({"policy": {"action_net.bias": np.ones(2)}}, exact_match=False)
    np.testing.assert_array_equal(model.policy.state_dict()["action_net.bias"], np.ones(2))


def test_the_ridge_critic_has_named_coefficients():
    model = TRPO("MlpPolicy", "CartPole-v1", n_steps=8, critic="ridge")
    named = model.policy.state_dict()
    np.testing.assert_array_equal(named["value_net.coefficients"], model.value_theta)


# -- files ----------------------------------------------------------------------------------------


def test_open_files_are_accepted(model):
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    other = TRPO.load(file, device="cpu", custom_objects={"lr_schedule": None})
    np.testing.assert_array_equal(other.theta, model.theta)


@table(("saved", "loaded"), [("m", "m.zip"), ("m.zip", "m"), ("m", "m"), ("m.zip", "m.zip")])
def test_a_model_is_found_with_and_without_the_zip_suffix(model, tmp_path, saved, loaded):
    model.save(tmp_path / saved)
    TRPO.load(str(tmp_path / loaded))


def test_save_excludes_settings(model, tmp_path):
    model.target_kl = 0.5
    model.save(tmp_path / "m", exclude=["target_kl", "gamma"], include=["gamma"])
    assert TRPO.load(tmp_path / "m").settings.target_kl == 0.01
    with pytest.raises(TypeError, match="did you mean 'gamma'"):
        model.save(tmp_path / "m", exclude=["gama"])


def test_the_policy_is_saved_alone(model, tmp_path):
    model.policy.save(tmp_path / "policy.pkl")
    policy = type(model.policy).load(tmp_path / "policy.pkl").to("cpu")
    obs = np.random.default_rng(0).normal(size=(9, 4))
    np.testing.assert_array_equal(
        policy.predict(obs, deterministic=True)[0], model.predict(obs, deterministic=True)[0]
    )
    assert (policy.device.type, str(model.device)) == ("cpu", "cpu")


# -- vector environments --------------------------------------------------------------------------


def test_a_vec_env_trains_like_a_gymnasium_vector_env():
    """The same environments under either interface give bit-identical rollouts."""
    settings = {"n_steps": 64, "seed": 3}
    vec_env = VecCartPole(3)
    model = TRPO("MlpPolicy", vec_env, **settings).learn(400)
    assert model.get_env() is vec_env
    assert model.num_timesteps == 576
    other = TRPO("MlpPolicy", "CartPole-v1", n_envs=3, env_backend="gymnasium", **settings)
    np.testing.assert_array_equal(model.theta, other.learn(400).theta)


def test_truncation_is_distinguished_from_termination():
    env = WrappedVecEnv(VecCartPole(2, limit=5))
    env.reset(seed=0)
    for step in range(5):
        obs, _, terminated, truncated, infos = env.step(np.array([step % 2] * 2))
    assert truncated.all()
    assert not terminated.any()
    assert infos["final_obs"][0].shape == (4,)
    assert not np.array_equal(infos["final_obs"][0], obs[0])


def test_the_episode_buffer_holds_the_last_episodes():
    model = TRPO("MlpPolicy", "CartPole-v1", n_steps=128, stats_window_size=3)
    model.learn(256)
    buffer = model.ep_info_buffer
    assert (len(buffer), buffer.maxlen, model.ep_success_buffer.maxlen) == (3, 3, 3)
    assert np.mean([each["r"] for each in buffer]) == model.records[-1]["return_mean"]


class VecNormalize(VecCartPole):
    """Stands in for the wrapper; halves the rewards, which are all 1."""

    def step_wait(self):
        obs, self.rewards, dones, infos = super().step_wait()
        return obs, self.rewards / 2, dones, infos

    def get_original_reward(self):
        return self.rewards.copy()


@pytest.fixture
def _vec_normalize(monkeypatch):
    """The stand-in is Stable-Baselines3's class."""
    name = "stable_baselines3.common.vec_env.vec_normalize"
    monkeypatch.setitem(sys.modules, name, sys.modules[__name__])


def test_returns_use_rewards_before_vec_normalize():
    model = TRPO("MlpPolicy", VecNormalize(2, limit=9), n_steps=32, seed=0).learn(64)
    assert {episode.total - episode.length for episode in insides(model).statistics.window} == {0}
    returns, lengths = evaluate_policy(model, VecNormalize(1), 2, return_episode_rewards=True)
    assert returns == lengths


@pytest.mark.parametrize("form", ["alone", "side by side"])
def test_returns_come_from_a_monitor_if_there_is_one(form):
    """Wrappers around it may change rewards and steps."""
    from gymnasium.wrappers import RecordEpisodeStatistics, TransformReward

    def halved():
        return TransformReward(RecordEpisodeStatistics(Counter(3)), lambda reward: reward / 2)

    env = halved() if form == "alone" else gymnasium.vector.SyncVectorEnv([halved, halved])
    model = small_model(env, n_steps=16).learn(32)
    assert model.records[-1]["return_mean"] == 6.0
    assert evaluate_policy(model, halved(), 2) == (6.0, 0.0)


def test_copies_and_pickles_are_complete():
    model = small_model(target_kl=half_way).learn(64)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert same_state(twin, model)
        assert (twin.target_kl, twin.get_env()) == (half_way, None)
        twin.set_env("CartPole-v1")
        twin.learn(64, reset_num_timesteps=False)
        assert twin.num_timesteps == 128


def half_way(remaining):
    return 0.01 * remaining


def test_predict_values_are_the_critic_values(model):
    observations = np.random.default_rng(0).normal(size=(5, 4))
    values = model.policy.predict_values(observations)
    assert values.shape == (5, 1)
    rows = observations.astype(np.float32)
    np.testing.assert_array_equal(values[:, 0], insides(model).agent.value(rows))
    assert model.policy.predict_values(observations[0]).shape == (1, 1)


@pytest.mark.usefixtures("_vec_normalize")
def test_vec_normalize_is_found_within_wrappers():
    inner = VecNormalize(1)
    outer = VecCartPole(1)
    outer.venv = inner
    assert TRPO("MlpPolicy", VecCartPole(1), n_steps=8).get_vec_normalize_env() is None
    model = TRPO("MlpPolicy", outer, n_steps=8)
    assert model.get_vec_normalize_env() is inner


class WithStatistics(VecNormalize):
    """Has running statistics and saves them."""

    norm_obs = True
    obs_rms = ret_rms = None

    def reset(self):
        self.used = self.obs_rms, self.ret_rms
        return super().reset()

    def save(self, path):
        Path(path).write_text(str(self.obs_rms))


@pytest.mark.usefixtures("_vec_normalize")
def test_an_evaluation_uses_the_training_statistics():
    env, own = WithStatistics(1), WithStatistics(1)
    model = TRPO("MlpPolicy", env, n_steps=8)
    evaluate = EvalCallback(own, eval_freq=8, n_eval_episodes=1, verbose=0)
    for rms in ([1.0], [2.0]):
        env.obs_rms, env.ret_rms = rms, [*rms, 0.0]
        model.learn(8, evaluate)
        assert own.used == (env.obs_rms, env.ret_rms)
        assert own.obs_rms is not env.obs_rms
    with pytest.raises(ValueError, match="has none: pass VecNormalize"):
        model.learn(8, EvalCallback("CartPole-v1"))
    env.norm_obs = False
    model.learn(8, EvalCallback("CartPole-v1", eval_freq=8, n_eval_episodes=1, verbose=0))


@pytest.mark.usefixtures("_vec_normalize")
def test_checkpoints_include_vec_normalize(tmp_path):
    env = WithStatistics(1)
    env.obs_rms = 7
    model = TRPO("MlpPolicy", env, n_steps=8)
    model.learn(8, CheckpointCallback(4, tmp_path / "a", "run", save_vecnormalize=True))
    assert (tmp_path / "a/run_vecnormalize_8_steps.pkl").read_text() == "7"
    assert (tmp_path / "a/run_8_steps.npz").exists()
    model.learn(8, CheckpointCallback(8, tmp_path / "b"))
    model = TRPO("MlpPolicy", "CartPole-v1", n_steps=8)
    model.learn(8, CheckpointCallback(8, tmp_path / "b", save_vecnormalize=True))
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["rl_model_8_steps.npz"]


# -- loggers --------------------------------------------------------------------------------------


class SB3Logger:
    """The calls of SB3's Logger; keeps values and exclusions."""

    def __init__(self):
        self.values, self.excluded, self.dumped, self.is_closed = {}, {}, [], False

    def record(self, key, value, exclude=None):
        self.values[key], self.excluded[key] = value, exclude

    def dump(self, step=0):
        self.dumped.append((step, self.values))
        self.values = {}

    def log(self, *args, level=20):
        self.dumped.append(args)

    def set_level(self, level):
        self.level = level

    def get_dir(self):
        return None

    def close(self):
        self.is_closed = True


def test_an_sb3_logger_is_used_as_it_is(model):
    logger = SB3Logger()
    model.set_logger(logger)
    logger.record("custom/by_script", 1)
    model.learn(128, lambda record: model.logger.record("custom/by_callback", 2))
    (step, first), (_, second) = logger.dumped
    assert step == 64
    assert first["rollout/ep_rew_mean"] == model.records[0]["return_mean"]
    assert first["custom/by_script"] == 1
    assert second["custom/by_callback"] == 2
    assert {"stdout", "log"} <= set(logger.excluded["train/curvature"])
    assert "tensorboard" in logger.excluded["train/rejected"]
    model.logger.info("so far")
    model.logger.close()
    assert logger.dumped[-1] == ("so far",)
    assert logger.is_closed


@pytest.mark.parametrize("wrong", [None, "stdout", SB3Logger])
def test_values_that_are_not_loggers_are_rejected_at_once(model, wrong):
    with pytest.raises(TypeError, match=r"set_logger needs .*fasttrpo\.configure"):
        model.set_logger(wrong)
