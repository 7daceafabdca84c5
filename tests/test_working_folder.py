"""Modules in the working directory never replace installed ones."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from agents import needs_extension

import fasttrpo
from fasttrpo.core.backend import LIBRARY_THREADS

HOME = str(Path(fasttrpo.__file__).parents[1])
TRAIN = [
    "train",
    "CartPole-v1",
    "--n-envs",
    "2",
    "--n-steps",
    "16",
    "--total-timesteps",
    "64",
    "--no-progress",
]
SCRIPT = (
    "import sys\nfrom fasttrpo.cli import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
)
IN_THE_WAY = (
    "numpy",
    "random",
    "json",
    "tqdm",
    "signal",
    "socket",
    "logging",
    "numba",
    "tensorboard",
)


def fasttrpo_in(folder, interpreter, *options):
    """Runs the command as installed, by a script in another folder, or with -m."""
    script = folder.parent / "command.py"
    script.write_text(SCRIPT)
    module = [str(script)] if interpreter[-1:] != ["-m"] else ["fasttrpo"]
    done = subprocess.run(
        [sys.executable, *interpreter, *module, *TRAIN, *options],
        cwd=folder,
        env=os.environ | dict.fromkeys(LIBRARY_THREADS, "1") | {"PYTHONPATH": HOME},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done


def curve(run):
    with open(run / "progress.csv", newline="") as file:
        return [
            (row["num_timesteps"], row["kl"], row["return_mean"]) for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A run in an empty folder."""
    folder = tmp_path_factory.mktemp("empty") / "here"
    folder.mkdir()
    fasttrpo_in(folder, [], "--seed", "1", "--n-threads", "1", "--out", "alone")
    return folder / "alone"


@pytest.mark.parametrize("interpreter", [[], ["-m"], ["-P", "-m"], ["-s", "-W", "default"]])
def test_modules_in_the_working_directory_are_not_imported(interpreter, empty, tmp_path):
    folder = tmp_path / "here"
    (folder / "gymnasium").mkdir(parents=True)
    for name in (*IN_THE_WAY, "gymnasium/__init__"):
        (folder / f"{name}.py").write_text("raise SystemExit('imported ' + __file__)\n")
    fasttrpo_in(folder, interpreter, "--seeds", "1", "--out", "group")
    assert curve(folder / "group" / "seed1") == curve(empty)
    systems = [
        json.loads((run / "config.json").read_text())["system"]
        for run in (folder / "group" / "seed1", empty)
    ]
    assert systems[0] == systems[1]


@needs_extension
def test_the_source_tree_may_be_the_working_directory(empty, tmp_path):
    """A regression test: workers ran the portable backend and recorded the compiled one."""
    folder = tmp_path / "here"
    sources = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__", "_core*.c", "_envs.c")
    shutil.copytree(Path(HOME) / "fasttrpo", folder / "fasttrpo", ignore=sources)
    fasttrpo_in(folder, [], "--seeds", "1", "--out", "group")
    assert curve(folder / "group" / "seed1") == curve(empty)
    system = json.loads((folder / "group/seed1/config.json").read_text())["system"]
    assert system["backend"] == "compiled"


def test_a_resumed_run_records_its_own_system(tmp_path, monkeypatch):
    from fasttrpo import cli

    monkeypatch.chdir(tmp_path)
    assert cli.main([*TRAIN, "--out", "run"]) == 0
    path = Path("run/config.json")
    config = json.loads(path.read_text())
    elsewhere = {"system": {"cores": 999}, "versions": {"numpy": "0.1"}}
    path.write_text(json.dumps(config | elsewhere))
    assert cli.main(["train", "--resume", "run", "--total-timesteps", "128", "--no-progress"]) == 0
    now = json.loads(path.read_text())
    assert (now["system"], now["versions"]) == (config["system"], config["versions"])


ENVIRONMENT = """
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv

gymnasium.register("Own-v0", CartPoleEnv, max_episode_steps=20)
"""


@pytest.mark.parametrize("interpreter", [[], ["-m"], ["-P", "-m"]])
def test_an_environment_in_a_working_directory_module_is_found(interpreter, tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "own_module.py").write_text(ENVIRONMENT)
    (folder / "tqdm.py").write_text("raise SystemExit('imported ' + __file__)\n")
    monkeypatch.setattr("test_working_folder.TRAIN", [TRAIN[0], "own_module:Own-v0", *TRAIN[2:]])
    out = fasttrpo_in(folder, interpreter, "--seeds", "0").stdout
    assert "own_module:Own-v0: 1 seed: return mean" in out


WITH_PROCESSES = """
import multiprocessing
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv


class Own(CartPoleEnv):
    def __init__(self):
        super().__init__()
        process = multiprocessing.get_context("spawn").Process(target=print)
        process.start()
        process.join()
        assert process.exitcode == 0


gymnasium.register("Own-v0", Own, max_episode_steps=20)
"""


def test_an_environment_may_start_processes(tmp_path, monkeypatch):
    """multiprocessing forbids that to daemons."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "own_module.py").write_text(WITH_PROCESSES)
    monkeypatch.setattr("test_working_folder.TRAIN", [TRAIN[0], "own_module:Own-v0", *TRAIN[2:]])
    assert "1 seed" in fasttrpo_in(folder, [], "--seeds", "0").stdout
