"""Models and run folders of an earlier version must load, act and continue, with known bits.

    python tests/old_files.py write      # with the earlier version: tests/data/old and its results
    python tests/old_files.py results    # the results of these files now, as JSON

Both run the compiled core in portable C, which has the same bits on every machine. After a change
of NUMERICS (files/checkpoint.py) the files stay, and new `results` replace results.json.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from make_hashes import ENVIRONMENTS, configurations, digest

from fasttrpo import TRPO

FOLDER = Path(__file__).resolve().parent / "data" / "old"
RESULTS = FOLDER / "results.json"
CLASS = {"FASTTRPO_INSTRUCTION_SET": "baseline", "FASTTRPO_BACKEND": "compiled"}
# Together: every kind of action, feature, critic, preconditioner, precision and schedule.
MODELS = range(0, 24, 3)
RUNS = {
    "cartpole": ["CartPole-v1", "--set", "policy_kwargs={'net_arch': [8]}", "--seed", "3"],
    "pendulum": ["Pendulum-v1", "--policy", "LinearPolicy", "--critic", "ridge", "--seeds", "0-1"],
}
STEPS, MORE_STEPS = 4096, 8192


def is_here() -> bool:
    """Whether this process runs the class that made the results."""
    return all(os.environ.get(name) == value for name, value in CLASS.items())


# -- models ----------------------------------------------------------------------------------------


def chosen():
    """(name, kind of environment, policy, settings) of the kept models."""
    every = list(configurations())
    return [every[number] for number in MODELS]


def steps(model) -> int:
    """The steps of one iteration."""
    return model.settings.n_steps * model.settings.n_envs


def write_model(name, kind, policy, settings):
    """Saves a checkpoint after three iterations."""
    env = ENVIRONMENTS[kind]()
    n_envs = {"n_envs": 3} if isinstance(env, str) else {}
    model = TRPO(policy, env, n_steps=24, seed=7, **n_envs, **settings)
    model.learn(3 * steps(model))
    model.save(FOLDER / f"{name}.npz", checkpoint=True)


def model_results(name, kind, *_):
    """Hashes of its actions, and of its parameters after two more iterations."""
    model = TRPO.load(FOLDER / f"{name}.npz", ENVIRONMENTS[kind]())
    obs = model.observation_space
    rng = np.random.default_rng(0)
    actions = model.predict(rng.normal(size=(50, *obs.shape)).astype(obs.dtype), deterministic=True)
    model.learn(2 * steps(model), reset_num_timesteps=False)
    learnt = {**model.get_parameters()["policy"], "timesteps": np.array(model.num_timesteps)}
    return {"actions": digest({"actions": actions[0]}), "learnt": digest(learnt)}


# -- run folders -----------------------------------------------------------------------------------


def fasttrpo(*arguments):
    """Runs the command line; returns its output."""
    command = [sys.executable, "-m", "fasttrpo", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def write_run(name, arguments):
    """Makes a run, or a group of runs, with the command line."""
    fasttrpo("train", *arguments, "--total-timesteps", STEPS, "--out", FOLDER / name)


def run_results(name):
    """The evaluations, and hashes of the parameters after doubling the steps."""
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, name)
        shutil.copytree(FOLDER / name, folder)
        models = sorted(folder.rglob("model.npz"))
        results["evaluated"] = [fasttrpo("eval", path.parent).splitlines()[-1] for path in models]
        told = fasttrpo("train", "--resume", folder, "--total-timesteps", MORE_STEPS)
        results["notices"] = told.count("not those of an uninterrupted run")
        results["learnt"] = [digest(TRPO.load(path).get_parameters()["policy"]) for path in models]
    return results


def write():
    """Makes all files again."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for model in chosen():
        write_model(*model)
    for name, arguments in RUNS.items():
        write_run(name, arguments)
    RESULTS.write_text(json.dumps(results(), indent=1) + "\n")


def results():
    """The results of every file, by name."""
    return {name: model_results(name, *rest) for name, *rest in chosen()} | {
        name: run_results(name) for name in RUNS
    }


def main():
    """Runs in a process of the class that made the results."""
    if not is_here():
        environment = {**os.environ, **CLASS}
        sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment).returncode)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write() if sys.argv[1] == "write" else print(json.dumps(results()))


if __name__ == "__main__":
    main()
