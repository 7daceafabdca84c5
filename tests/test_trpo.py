"""`TRPO`: learning, predicting, and invalid input, which changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from helpers import Pointer, insides, replace_agent, same_state, small_model
from tables import table

import fasttrpo
from fasttrpo import TRPO
from fasttrpo.core import backend

# -- import and construction ----------------------------------------------------------------------


def test_import_loads_no_dependencies():
    code = (
        "import sys, fasttrpo; fasttrpo.__version__; dir(fasttrpo)\n"
        "print([n for n in ('numpy', 'gymnasium', 'tqdm', 'numba', 'torch') if n in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_predicting_needs_no_gymnasium(model, tmp_path):
    model.save(tmp_path / "model.npz")
    code = (
        "import sys; from fasttrpo import TRPO; m = TRPO.load(sys.argv[1])\n"
        "m.predict([0.0] * 4); print('gymnasium' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model.npz")]
    # Compiling with Numba would take longer than the one prediction.
    env = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    assert out.stdout.strip() == "False"


def test_public_names_resolve():
    for name in fasttrpo.__all__:
        if name != "kernels":
            assert getattr(fasttrpo, name)
    assert set(fasttrpo.__all__) <= set(dir(fasttrpo))
    with pytest.raises(AttributeError, match="no attribute 'PPO'"):
        fasttrpo.PPO  # noqa: B018


def test_signature_lists_every_setting():
    text = str(TRPO.__signature__)
    for name in ("policy", "env", "n_steps=2048", "target_kl=0.01", "seed=None"):
        assert name in text


def test_backend_none_follows_the_environment_variable(monkeypatch):
    monkeypatch.setenv(backend.VARIABLE, "portable")
    assert backend.choose() == "portable"
    monkeypatch.setenv(backend.VARIABLE, "portabel")
    with pytest.raises(ValueError, match="did you mean 'portable'"):
        backend.choose()


def test_a_missing_extension_warns_or_raises(monkeypatch):
    monkeypatch.delenv(backend.VARIABLE, raising=False)
    monkeypatch.setattr(backend, "has_extension", lambda: False)
    with pytest.warns(RuntimeWarning, match="the compiled core is missing"):
        small_model()
    with pytest.raises(ImportError, match="this installation has no compiled core"):
        small_model(backend="compiled")


# -- learn ----------------------------------------------------------------------------------------


def test_learn_counts_steps_and_iterations(model):
    assert model.learn(100) is model
    assert (model.num_timesteps, model.n_updates, len(model.records)) == (128, 2, 2)
    model.learn(64, reset_num_timesteps=False)
    assert (model.num_timesteps, model.n_updates) == (192, 3)
    model.learn(64)
    assert model.num_timesteps == 64


# What a record says of the trust region, the critic and times, besides what is asserted below.
COLUMNS = {"kl_predicted", "surr_gain", "surr_gain_predicted", "curvature", "cg_steps"}
COLUMNS |= {"line_search_steps", "rejected", "kl_tried", "surr_gain_tried", "entropy", "std"}
COLUMNS |= {"step_norm", "grad_norm", "value_loss_before", "value_loss", "cg_residual"}
COLUMNS |= {"target_kl", "cg_damping", "ended", "seconds_collect", "seconds_advantages"}
COLUMNS |= {"seconds_gradient", "seconds_solve", "seconds_line_search", "seconds_critic"}
COLUMNS |= {"explained_variance"}


def test_a_record_is_complete(model):
    record = model.learn(256).records[-1]
    assert record["iteration"] == 4
    assert record["num_timesteps"] == 256
    assert record["episodes"] > 0
    assert record["return_mean"] == record["length_mean"]
    assert record["steps_per_second"] > 0
    assert record["outcome"] in range(4)
    assert set(record) >= COLUMNS
    assert record["kl"] <= 0.01 * (1 + 1e-6)


@table("policy", ["MlpPolicy", "LinearPolicy"])
@table("env", ["CartPole-v1", "Pendulum-v1"])
def test_every_policy_trains_with_every_kind_of_action(policy, env):
    model = small_model(env, policy, normalize_observations=True, normalize_rewards=True)
    assert np.isfinite(model.learn(128).records[-1]["entropy"])


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_vector_environments_train_under_every_autoreset_mode(mode):
    makers = [lambda: gymnasium.make("CartPole-v1")] * 3
    model = small_model(SyncVectorEnv(makers, autoreset_mode=mode)).learn(200)
    assert model.settings.n_envs == 3
    kept = [record["n_samples"] for record in model.records]
    assert all(k < 48 for k in kept) == (mode is AutoresetMode.NEXT_STEP)


def test_a_callback_stops_by_returning_false(model):
    iterations = []
    model.learn(1000, callback=lambda record: iterations.append(record["iteration"]))
    assert iterations == list(range(1, 17))
    model.learn(1000, callback=lambda record: False)
    assert model.num_timesteps == 64
    with pytest.raises(
        TypeError, match=r"callback must be a function, a BaseCallback or a list.*got 3"
    ):
        model.learn(64, callback=3)


def test_total_timesteps_may_be_an_integral_float(model):
    """As in Stable-Baselines3 scripts: learn(total_timesteps=1e6)."""
    assert model.learn(1e2).num_timesteps == model.learn(100).num_timesteps
    assert model.learn(np.float64(100)).num_timesteps == 128


@table("wrong", [0, -5, 1.5, float("inf"), float("nan"), True, "64"])
def test_invalid_total_timesteps_are_rejected(model, wrong):
    with pytest.raises(ValueError, match="total_timesteps must be an integer >= 1"):
        model.learn(wrong)


def test_learn_takes_positional_arguments_in_the_order_of_stable_baselines3(model):
    model.learn(64, None, 1, "name", False, False)
    with pytest.raises(TypeError, match="tb_log_name must be a name, got True"):
        model.learn(64, None, 1, True)
    with pytest.raises(TypeError, match="positional argument"):
        model.learn(64, None, 1, "name", False, False, 1.0)


def test_running_returns_restart_with_the_environments():
    """Pointer does not end within a rollout, so its running return is not zero afterwards."""
    model = small_model(Pointer(length=1000), normalize_rewards=True).learn(16)
    assert model.snapshot().state["rew_running"] != 0
    twin = small_model(Pointer(length=1000), normalize_rewards=True).learn(16)
    insides(twin).agent.load_state({**twin.snapshot().state, "rew_running": np.zeros(1)})
    for each in (model, twin):
        each.learn(16)
    assert same_state(model, twin)


def test_equal_seeds_give_equal_models():
    assert same_state(small_model().learn(128), small_model().learn(128))
    assert not same_state(small_model().learn(128), small_model(seed=4).learn(128))


def test_continued_training_does_not_reset_the_environment():
    env = Pointer(length=1000)
    model = small_model(env)
    model.learn(16).learn(16, reset_num_timesteps=False)
    assert env.resets == 1
    model.learn(16)
    assert env.resets == 2


def test_only_the_environment_gets_clipped_actions():
    env = Pointer()
    model = small_model(env, policy_kwargs={"net_arch": [], "log_std_init": 2.0})
    drawn = []
    act = insides(model).agent.act

    class Spy:
        def __getattr__(self, name):
            if name == "plain_rows":  # which do not call `act`
                raise AttributeError(name)
            return getattr(agent, name)

        def act(self, obs):
            result = act(obs)
            drawn.append(np.array(result[0]))
            return result

    agent = insides(model).agent
    replace_agent(model, Spy())
    model.learn(16)
    assert max(np.abs(a).max() for a in drawn) > 0.5
    expected = np.clip(np.array(drawn).reshape(-1, 2, 1), -0.5, 0.5)
    np.testing.assert_allclose(env.seen, expected, rtol=1e-6)


# -- errors during learning ------------------------------------------------------------------------


@table(
    ("failure", "error", "message"),
    [
        ("obs", ValueError, r"observation of environment 0 .*not finite.* at step 20"),
        ("reward", ValueError, r"reward of environment 0 .*not finite.* at step 20"),
        (OSError("the wheel came off"), OSError, "the wheel came off"),
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
    ],
)
def test_a_failing_environment_leaves_the_model_usable(failure, error, message, tmp_path):
    env = Pointer(fail_at=32 + 21, failure=failure, length=7)
    model = small_model(env, n_steps=32).learn(32)
    model.save(tmp_path / "before")
    episodes = insides(model).statistics.record()
    with pytest.raises(error, match=message):
        model.learn(64, reset_num_timesteps=False)
    assert (model.num_timesteps, insides(model).agent.n_recorded) == (32, 0)
    assert insides(model).statistics.record() == episodes
    saved = TRPO.load(tmp_path / "before")
    np.testing.assert_array_equal(saved.theta, model.theta)
    resets = env.resets
    model.learn(32, reset_num_timesteps=False)
    assert model.num_timesteps == 64
    assert env.resets > resets


@pytest.mark.filterwarnings("ignore:.*ERROR:UserWarning")
def test_an_exception_in_a_worker_process_reaches_the_user():
    env = AsyncVectorEnv([lambda: Pointer(fail_at=10, failure=OSError("the wheel came off"))] * 2)
    model = small_model(env)
    with pytest.raises(OSError, match="the wheel came off"):
        model.learn(64)
    # Gymnasium has shut down the worker, so the vector environment is lost but not the model.
    model.set_env(Pointer())
    model.learn(16)
    assert model.num_timesteps == 16
    env.close(terminate=True)


# -- predict --------------------------------------------------------------------------------------


def test_predict_returns_discrete_actions(model):
    action, state = model.predict(np.zeros(4), deterministic=True)
    assert state is None
    assert action.shape == ()
    assert model.action_space.contains(action)
    actions, _ = model.predict(np.zeros((7, 4)))
    assert actions.shape == (7,)
    assert actions.dtype == np.int64


def test_predict_clips_and_reshapes_box_actions():
    model = small_model(Pointer(), policy_kwargs={"log_std_init": 2.0})
    action, _ = model.predict(np.zeros((2, 1)))
    assert model.action_space.contains(action)
    actions, _ = model.predict(np.zeros((50, 2, 1)))
    assert actions.shape == (50, 2, 1)
    assert np.abs(actions).max() == 0.5


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_predict_accepts_any_array_layout(env):
    model = small_model(env)
    size = model.observation_space.shape[0]
    batch = np.arange(3 * size).reshape(3, size)
    expected, _ = model.predict(batch.astype(np.float32), deterministic=True)
    layouts = (batch, batch.tolist(), batch.astype(float), np.asfortranarray(batch, np.float32))
    for obs in (*layouts, np.repeat(batch, 2, axis=1)[:, ::2]):
        actions, _ = model.predict(obs, deterministic=True)
        np.testing.assert_array_equal(actions, expected)
        for row, action in zip(obs, expected, strict=True):
            alone, _ = model.predict(row, deterministic=True)
            assert (alone.shape, alone.dtype) == (model.action_space.shape, expected.dtype)
            np.testing.assert_allclose(alone, action, rtol=1e-5)


@table("env", ["CartPole-v1", "Pendulum-v1"])
@table("deterministic", [True, False])
def test_predict_returns_new_arrays(env, deterministic):
    model = small_model(env)
    batch = np.zeros((3, model.observation_space.shape[0]), np.float32)
    first, _ = model.predict(batch, deterministic=deterministic)
    kept = first.copy()
    second, _ = model.predict(batch, deterministic=deterministic)
    assert not np.shares_memory(first, second)
    second[:] = 1
    np.testing.assert_array_equal(first, kept)
    third, _ = model.predict(batch, deterministic=deterministic)
    assert np.array_equal(third, kept) or not deterministic
    assert not batch.any()


@table(
    ("observation", "error", "message"),
    [
        (np.zeros(3), ValueError, r"shape \(3,\), expected \(4,\) or a batch"),
        (np.zeros((0, 4)), ValueError, r"shape \(0, 4\), expected"),
        (0.0, ValueError, r"shape \(\), expected"),
        ((np.zeros(4), {}), TypeError, r"a tuple \(observation, info\), .*: pass only its first"),
        (np.full(4, None), TypeError, "must be an array of real numbers, got dtype object"),
        (np.full(4, "a"), TypeError, "must be an array of real numbers, got dtype <U1"),
        (
            np.array([0, np.nan, 0, 0]),
            ValueError,
            r"^observation of row 0 is not finite \(nan in component 1\)$",
        ),
        (
            [[0, 0, 0, 0], [0, 0, 1e39, 0]],
            ValueError,
            r"^observation of row 1 is not finite \(inf in component 2\)$",
        ),
    ],
)
def test_predict_rejects_invalid_observations(model, observation, error, message):
    with pytest.raises(error, match=message):
        model.predict(observation)


# -- environments ---------------------------------------------------------------------------------


def test_set_env_accepts_another_number_of_environments(model):
    model.learn(64)
    model.set_env(gymnasium.make("CartPole-v1"))
    assert model.get_env().num_envs == 1
    model.learn(16, reset_num_timesteps=False)
    assert model.num_timesteps == 80


def test_set_env_rejects_other_spaces(model):
    with pytest.raises(ValueError, match=r"Acrobot|the environment has Box\(.*, \(6,\), float32\)"):
        model.set_env("Acrobot-v1")
    assert model.get_env().num_envs == 4


def test_spaces_are_gymnasium_spaces(model):
    env = gymnasium.make("CartPole-v1")
    assert model.observation_space == env.observation_space
    assert model.action_space == env.action_space


def test_learning_without_an_environment_raises(model, tmp_path):
    model.save(tmp_path / "model")
    loaded = TRPO.load(tmp_path / "model")
    assert loaded.get_env() is None
    with pytest.raises(RuntimeError, match="no environment to learn in"):
        loaded.learn(64)


def test_module_runs_as_a_command():
    out = subprocess.run(
        [sys.executable, "-m", "fasttrpo", "info"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert fasttrpo.__version__ in out.stdout
