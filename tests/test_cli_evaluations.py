"""`--eval-freq` and `--eval-episodes`: evaluations during training, and none at all."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from agents import needs_extension
from helpers import same_state

from fasttrpo import TRPO, cli
from fasttrpo.cli.evaluations import Evaluations
from fasttrpo.training.trainer import Trainer

SIZES = ["--n-envs", "2", "--n-steps", "32", "--no-progress", "--checkpoint-every", "0"]
ITERATION = 64
EVALUATED = ["--eval-freq", "100", "--eval-episodes", "4"]  # after iterations 2, 4, 5, 7 and 8


def train(*options, iterations=8):
    total = ["--total-timesteps", str(iterations * ITERATION)]
    return cli.main(["train", "Pendulum-v1", *SIZES, *total, *options])


def resume(*options):
    return cli.main(["train", "--resume", "run", "--no-progress", *options])


def evaluations(folder):
    with open(Path(folder) / "evaluations.csv", newline="") as file:
        return list(csv.DictReader(file))


def interrupt(monkeypatch, where, iterations):
    """Ctrl-C in a rollout, or in an evaluation, once so many iterations are done."""
    owner, name = (Trainer, "collect") if where == "rollout" else (Evaluations, "_evaluate")
    original = getattr(owner, name)

    def pressed(self, *given):
        result = original(self, *given)
        if (self.n_updates if where == "rollout" else self.model.n_updates) == iterations:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(owner, name, pressed)


def test_the_best_model_and_a_line_per_evaluation_are_kept():
    assert train("--out", "run", *EVALUATED) == 0
    rows = evaluations("run")
    assert [int(row["num_timesteps"]) for row in rows] == [i * ITERATION for i in (2, 4, 5, 7, 8)]
    assert {row["episodes"] for row in rows} == {"4"}
    returns = [float(row["mean_reward"]) for row in rows]
    best = TRPO.load("run/best_model.npz")
    assert best.num_timesteps == int(rows[int(np.argmax(returns))]["num_timesteps"])
    result = json.loads(Path("run/evaluation.json").read_text())
    assert (result["mean_return"], result["episodes"]) == (returns[-1], 4)
    config = json.loads(Path("run/config.json").read_text())
    assert (config["eval_freq"], config["eval_episodes"]) == (100, 4)


def test_evaluations_do_not_affect_training():
    assert train("--out", "with", *EVALUATED) == 0
    assert train("--out", "without", "--eval-episodes", "4") == 0
    models = [TRPO.load(Path(folder) / "model.npz") for folder in ("with", "without")]
    assert same_state(*models)
    results = [Path(folder, "evaluation.json").read_text() for folder in ("with", "without")]
    assert results[0] == results[1]
    assert not Path("without/evaluations.csv").exists()
    assert not Path("without/best_model.npz").exists()


@needs_extension
@pytest.mark.parametrize(("where", "iterations"), [("rollout", 3), ("evaluation", 5)])
def test_a_resumed_run_has_the_files_of_an_uninterrupted_one(where, iterations, monkeypatch):
    assert train("--out", "whole", *EVALUATED) == 0
    with monkeypatch.context() as patch:
        interrupt(patch, where, iterations)
        assert train("--out", "run", *EVALUATED) == 130
    assert resume() == 0
    assert Path("run/evaluations.csv").read_text() == Path("whole/evaluations.csv").read_text()
    assert Path("run/evaluation.json").read_text() == Path("whole/evaluation.json").read_text()
    for name in ("model.npz", "best_model.npz"):
        assert same_state(*(TRPO.load(Path(folder) / name) for folder in ("run", "whole")))
    assert {p.name for p in Path("run").iterdir()} == {p.name for p in Path("whole").iterdir()}


def test_a_resumed_run_keeps_an_earlier_best():
    assert train("--out", "run", *EVALUATED, iterations=2) == 0
    text = Path("run/evaluations.csv").read_text()
    mean = evaluations("run")[0]["mean_reward"]
    Path("run/evaluations.csv").write_text(text.replace(mean, "0.0"))  # cannot be reached
    assert resume("--total-timesteps", str(8 * ITERATION)) == 0
    assert len(evaluations("run")) == 5
    assert TRPO.load("run/best_model.npz").num_timesteps == 2 * ITERATION


def test_a_run_without_evaluation_is_finished_when_it_is_trained(capsys):
    assert train("--out", "run", "--eval-episodes", "0") == 0
    assert "Pendulum-v1: trained 512 steps, return -" in capsys.readouterr().out
    assert not Path("run/evaluation.json").exists()
    assert resume() == 0
    assert "run is finished at 512 steps" in capsys.readouterr().out
    assert cli.main(["report", "run"]) == 0
    assert resume("--eval-episodes", "2") == 0
    assert json.loads(Path("run/evaluation.json").read_text())["episodes"] == 2


def test_a_finished_run_is_evaluated_again_over_another_number_of_episodes(capsys):
    assert train("--out", "run", *EVALUATED, iterations=2) == 0
    assert resume("--eval-episodes", "3") == 0
    assert json.loads(Path("run/evaluation.json").read_text())["episodes"] == 3
    capsys.readouterr()
    assert resume("--eval-episodes", "3") == 0
    assert "run is finished" in capsys.readouterr().out


def test_eval_episodes_0_replaces_the_eval_freq_of_a_run_and_of_a_file(capsys):
    assert train("--out", "run", *EVALUATED, iterations=2) == 0
    assert resume("--total-timesteps", "256", "--eval-episodes", "0") == 0
    again = ["--config", "run/config.json", "--eval-freq", "100"]
    assert train("--out", "again", *again, iterations=1) == 2
    assert "--eval-freq needs episodes, but --eval-episodes is 0: " in capsys.readouterr().err
    again = ["--config", "run/config.json", "--eval-episodes", "0", "--out", "again"]
    config = json.loads(Path("run/config.json").read_text())
    Path("run/config.json").write_text(json.dumps(config | {"eval_freq": 100, "eval_episodes": 4}))
    assert train(*again, iterations=1) == 0
    for folder in ("run", "again"):
        assert not Path(folder, "evaluation.json").exists()


def test_several_seeds_have_evaluations_or_none(capsys):
    seeds = ["--seeds", "0-1", "--out", "group"]
    assert train(*seeds, "--eval-freq", "128", "--eval-episodes", "2", iterations=2) == 0
    assert [len(evaluations(f"group/seed{n}")) for n in (0, 1)] == [1, 1]
    assert Path("group/summary.json").exists()
    capsys.readouterr()
    assert train("--seeds", "0-1", "--out", "none", "--eval-episodes", "0", iterations=1) == 0
    assert "Pendulum-v1: 2 seeds trained; not evaluated" in capsys.readouterr().out
    assert not Path("none/summary.json").exists()
    assert cli.main(["train", "--resume", "none", "--no-progress"]) == 0


def test_a_link_in_a_strangers_folder_is_not_followed():
    assert train("--out", "run", *EVALUATED, iterations=1) == 0
    Path("precious").write_text("mine")
    Path("run/best_model.npz").symlink_to(Path("precious").resolve())
    assert resume("--total-timesteps", str(3 * ITERATION)) == 0
    assert Path("precious").read_text() == "mine"
    assert TRPO.load("run/best_model.npz").num_timesteps == 2 * ITERATION
