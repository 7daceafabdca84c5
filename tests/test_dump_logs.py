"""`TRPO.dump_logs` and `LogEveryNTimesteps`: the log between the ends of iterations."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from helpers import Counter, small_model
from tables import table

from fasttrpo import TRPO, configure
from fasttrpo.callbacks import BaseCallback, LogEveryNTimesteps


def rows_of(folder):
    with open(folder / "progress.csv", newline="") as file:
        return list(csv.DictReader(file))


def column(rows, tag):
    """The numbers of a column, None where a row has none."""
    return [float(row[tag]) if row.get(tag) else None for row in rows]


def logged(folder, callback, total=64, env=None, **keywords):
    """The rows that `learn` logs, and the model. A Counter pays 1 + 2 + 3 per episode."""
    model = small_model(Counter() if env is None else env)
    model.set_logger(configure(folder, ["csv"]))
    model.learn(total, callback=callback, **keywords)
    return rows_of(folder), model


def test_the_callback_alone_writes_the_log(tmp_path):
    """Iterations end at 16, 32, 48, 64 steps; each appears once, in the next row."""
    rows, model = logged(tmp_path, LogEveryNTimesteps(10), log_interval=None)
    assert column(rows, "time/total_timesteps") == [10, 20, 30, 40, 50, 60]
    assert column(rows, "train/n_updates") == [None, 1, None, 2, 3, None]
    kl = [record["kl"] for record in model.records]
    assert column(rows, "train/kl_divergence_loss") == [None, kl[0], None, kl[1], kl[2], None]
    assert column(rows, "rollout/episodes") == [3, 6, 10, 13, 16, 20]  # also amid a rollout
    assert set(column(rows, "rollout/ep_rew_mean")) == {6.0}
    assert all(row["time/fps"] and row["time/time_elapsed"] for row in rows)


def test_both_logs_together_show_each_update_once(tmp_path):
    rows, _ = logged(tmp_path, LogEveryNTimesteps(10), 32)
    assert column(rows, "time/total_timesteps") == [10, 16, 20, 30, 32]
    assert column(rows, "train/n_updates") == [None, 1, None, None, 2]


@table("env", ["CartPole-v1", None])
def test_logging_changes_no_bits(env, tmp_path):
    rows, model = logged(tmp_path, LogEveryNTimesteps(12), 128, env, log_interval=None)
    other = small_model(Counter() if env is None else env).learn(128)
    assert len(rows) == 10
    assert np.array_equal(model.theta, other.theta)


def test_values_that_callbacks_record_are_dumped_and_stay_in_the_record(tmp_path):
    class Height(BaseCallback):
        def _on_step(self):
            self.logger.record("custom/height", self.n_calls)
            return True

    rows, model = logged(tmp_path, [Height(), LogEveryNTimesteps(10)], 32, log_interval=None)
    assert column(rows, "custom/height") == [10, 20, 30]
    assert [record["custom/height"] for record in model.records] == [16, 32]


def test_dump_logs_writes_at_any_moment(tmp_path):
    rows, model = logged(tmp_path, None, 32, log_interval=None)
    assert rows == []
    model.dump_logs(iteration=7)
    model.dump_logs()
    first, second = rows_of(tmp_path)
    assert (first["train/n_updates"], first["time/iterations"]) == ("2", "7")
    assert (second["train/n_updates"], second["time/total_timesteps"]) == ("", "32")
    with pytest.raises(ValueError, match="iteration must be an integer"):
        model.dump_logs(iteration=-1)


def test_a_log_that_learn_closed_is_not_written(tmp_path):
    pytest.importorskip("tensorboard")
    model = small_model(tensorboard_log=tmp_path)
    model.dump_logs()  # nothing to write to
    model.learn(64, callback=LogEveryNTimesteps(20))
    with pytest.raises(RuntimeError, match=r"learn made this log and closed it.*set_logger"):
        model.dump_logs()


def test_no_steps_between_logs_are_refused():
    with pytest.raises(ValueError, match="n_steps must be"):
        LogEveryNTimesteps(0)


def test_the_log_has_the_rows_of_stable_baselines3(tmp_path):
    """sb3-contrib's TRPO with its callback, ours with its callback, and ours with ours."""
    theirs = pytest.importorskip("stable_baselines3.common.callbacks").LogEveryNTimesteps
    contrib, logger = (
        pytest.importorskip("sb3_contrib"),
        pytest.importorskip("stable_baselines3.common.logger"),
    )
    pairs = ((contrib.TRPO, theirs), (TRPO, theirs), (TRPO, LogEveryNTimesteps))
    tables = []
    for i, (algorithm, callback) in enumerate(pairs):
        folder = tmp_path / str(i)
        model = algorithm("MlpPolicy", Counter(), n_steps=16, seed=0)
        model.set_logger(logger.configure(str(folder), ["csv"]))
        model.learn(64, callback=callback(10), log_interval=None)
        tables.append(rows_of(folder))
    tags = ("time/total_timesteps", "train/n_updates", "rollout/ep_rew_mean", "rollout/ep_len_mean")
    expected, *ours = ([column(rows, tag) for tag in tags] for rows in tables)
    assert ours == [expected, expected]
    assert set(tables[0][0]) - set(tables[1][0]) == {"train/learning_rate"}  # K-FAC has none
