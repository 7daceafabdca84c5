"""A script written for sb3-contrib's TRPO runs with one import changed."""

from __future__ import annotations

import subprocess
import sys

import pytest

OURS = """\
from fasttrpo import TRPO, evaluate_policy
from fasttrpo.callbacks import CheckpointCallback, EvalCallback
"""
# SB3's own callbacks and evaluation with fasttrpo's model: only TRPO's import changes.
THEIRS = """\
from stable_baselines3.common.callbacks import CheckpointCallback, EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from fasttrpo import TRPO
"""
SCRIPT = """
import gymnasium as gym
import numpy as np

env = gym.make("Pendulum-v1")
model = TRPO("MlpPolicy", env, n_steps=256, gamma=0.9, seed=0, verbose=1, device="cpu")
evaluate = EvalCallback(
    gym.make("Pendulum-v1"),
    best_model_save_path="./logs/",
    log_path="./logs/",
    eval_freq=512,
    n_eval_episodes=2,
    deterministic=True,
    render=False,
)
checkpoint = CheckpointCallback(save_freq=512, save_path="./logs/", name_prefix="trpo")
model.learn(total_timesteps=1024, callback=[checkpoint, evaluate], log_interval=4)
assert model.num_timesteps == 1024
model.save("trpo_pendulum")

obs, info = env.reset(seed=1)
before, _ = model.predict(obs, deterministic=True)
del model

model = TRPO.load("trpo_pendulum", env=env)
after, _ = model.predict(obs, deterministic=True)
assert np.array_equal(before, after)
for _ in range(10):
    action, _states = model.predict(obs, deterministic=True)
    obs, reward, terminated, truncated, info = env.step(action)
mean_reward, std_reward = evaluate_policy(model, env, n_eval_episodes=2, deterministic=True)
assert -4000 < mean_reward < 0

TRPO.load("logs/best_model").predict(obs)
TRPO.load("logs/best_model.zip").predict(obs)
TRPO.load("logs/trpo_512_steps").predict(obs)
log = np.load("logs/evaluations.npz")
assert log["timesteps"].tolist() == [512, 1024]
assert log["results"].shape == log["ep_lengths"].shape == (2, 2)
model.learn(256, reset_num_timesteps=False)
assert model.num_timesteps == 1280
print("done")
"""


def run(imports, folder):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", imports + SCRIPT],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_sb3_contrib_script_runs_with_our_callbacks(tmp_path):
    assert run(OURS, tmp_path).splitlines()[-1] == "done"


def test_an_sb3_contrib_script_runs_with_sb3_callbacks(tmp_path):
    pytest.importorskip("stable_baselines3")
    out = run(THEIRS, tmp_path)
    assert "New best mean reward!" in out
    assert out.splitlines()[-1] == "done"
