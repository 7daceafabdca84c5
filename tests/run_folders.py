"""Synthetic run folders: what `fasttrpo train` leaves, with numbers that tests choose."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict

import numpy as np

from fasttrpo.settings import Settings


def write_run(folder, n=40, seed=0, env_id="CartPole-v1", total=None, settings=None, **columns):
    """Writes a run of n records of 100 steps; `columns` replace defaults (None omits the column).

    settings: those that differ from the defaults.
    """
    folder.mkdir(parents=True)
    config = {
        "env_id": env_id,
        "total_timesteps": 100 * n if total is None else total,
        "settings": asdict(Settings(seed=seed, **(settings or {}))),
        "system": {"version": "0.1.0", "backend": "compiled", "instruction set": "avx2"},
        "versions": {"python": "3.11.2", "numpy": "2.0.0"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    write_csv(folder / "progress.csv", example_columns(n, seed) | columns)
    return folder


def example_columns(n, seed):
    """Columns of a successful run."""
    draw, t = np.random.default_rng(seed), np.arange(1, n + 1)
    noise = draw.uniform(0.9, 1.1, size=n)
    return {
        "iteration": t,
        "num_timesteps": 100 * t,
        "return_mean": 5.0 * t + seed,
        "length_mean": 5.0 * t,
        "steps_per_second": np.full(n, 1000.0),
        "outcome": np.zeros(n, int),
        "rejected": [""] * n,
        "kl": 0.009 * noise,
        "kl_predicted": np.full(n, 0.009),
        "target_kl": np.full(n, 0.01),
        "surr_gain": 0.02 * noise,
        "surr_gain_predicted": np.full(n, 0.02),
        "entropy": 0.7 - 0.002 * t,
        "std": np.full(n, np.nan),
        "grad_norm": 0.2 * noise,
        "step_norm": 0.1 * noise,
        "curvature": 0.03 * noise,
        "cg_damping": np.full(n, 0.1),
        "cg_steps": np.full(n, 3),
        "cg_residual": 0.01 * noise,
        "line_search_steps": np.ones(n, int),
        "explained_variance": np.linspace(0, 0.9, n),
        "value_loss_before": 20.0 / t,
        "value_loss": 10.0 / t,
        "seconds_collect": np.full(n, 0.03),
        "seconds_gradient": np.full(n, 0.01),
        "seconds_critic": np.full(n, 0.05),
    }


def write_csv(path, columns):
    columns = {name: values for name, values in columns.items() if values is not None}
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        rows.writerows(zip(*columns.values(), strict=True))


def write_evaluation(folder, mean=500.0, name="evaluation.json", **more):
    result = {"mean_return": mean, "std_return": 1.5, "episodes": 3, "deterministic": True}
    result |= {"returns": [mean - 1, mean, mean + 1]} | more
    (folder / name).write_text(json.dumps(result))
