"""Presets solve their environments with each seed, through the command line.

Slow (a few minutes in total): `pytest -m slow tests/test_learning.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

SEEDS = range(5)
# environment, policy, mean return over 100 deterministic episodes, maximum number of steps
TARGETS = [
    ("CartPole-v1", "MlpPolicy", 475.0, 60_000),
    ("CartPole-v1", "LinearPolicy", 475.0, 60_000),
    ("Acrobot-v1", "MlpPolicy", -100.0, 100_000),
    ("Pendulum-v1", "MlpPolicy", -200.0, 150_000),
    ("MountainCar-v0", "MlpPolicy", -110.0, 500_000),
    ("MountainCarContinuous-v0", "MlpPolicy", 90.0, 120_000),
]
# With two seeds only, since each takes a minute or two. The targets are far below usual returns.
MUJOCO_TARGETS = [
    ("InvertedPendulum-v5", 950.0, 101_000),
    ("Hopper-v5", 2_500.0, 1_000_000),
]


def train(env_id, policy, seed, folder):
    """Run `fasttrpo train` and return (evaluation, number of steps)."""
    command = [sys.executable, "-m", "fasttrpo", "train", env_id, "--policy", policy]
    command += ["--seed", str(seed), "--out", str(folder), "--no-progress"]
    subprocess.run(command, check=True, timeout=600)
    last = (folder / "progress.csv").read_text().splitlines()[-1]
    header = (folder / "progress.csv").read_text().splitlines()[0].split(",")
    steps = int(last.split(",")[header.index("num_timesteps")])
    return json.loads((folder / "evaluation.json").read_text()), steps


def check(env_id, policy, target, budget, seed, folder):
    """The run's evaluation reaches the target within the budget of steps."""
    result, steps = train(env_id, policy, seed, folder)
    assert steps <= budget
    assert result["episodes"] == 100
    assert result["mean_return"] >= target


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("env_id", "policy", "target", "budget"), TARGETS)
def test_preset_reaches_its_target(env_id, policy, target, budget, seed, tmp_path):
    check(env_id, policy, target, budget, seed, tmp_path / "run")


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("env_id", "target", "budget"), MUJOCO_TARGETS)
def test_preset_of_mujoco_reaches_its_target(env_id, target, budget, seed, tmp_path):
    pytest.importorskip("mujoco.batch", reason="no MuJoCo with mujoco.batch")
    check(env_id, "MlpPolicy", target, budget, seed, tmp_path / "run")
