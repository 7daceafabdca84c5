"""Logs: what each format writes, resuming, and the logger."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers import Pointer, disk_of, small_model
from tables import table

from fasttrpo import SaveError
from fasttrpo.callbacks import BaseCallback
from fasttrpo.logs.logger import DISABLED, ERROR, FORMATS, Logger, configure
from fasttrpo.logs.writers import BoxFile, JsonLines, ProgressFile, box, table_header, table_row

# What Stable-Baselines3's TRPO logs for a continuous action space, on one dump.
TAGS = {
    "rollout/ep_len_mean",
    "rollout/ep_rew_mean",
    "time/fps",
    "time/iterations",
    "time/time_elapsed",
    "time/total_timesteps",
    "train/explained_variance",
    "train/is_line_search_success",
    "train/kl_divergence_loss",
    "train/n_updates",
    "train/policy_objective",
    "train/value_loss",
}


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# -- progress.csv ----------------------------------------------------------------------------------


def test_each_line_is_written_immediately(tmp_path):
    path = tmp_path / "progress.csv"
    with ProgressFile(path) as progress:
        progress.write({"iteration": 1, "kl": 0.5})
        assert path.read_text().splitlines() == ["iteration,kl", "1,0.5"]
        progress.write({"iteration": 2, "kl": 0.1 + 0.2})
        rows = rows_of(path)
    assert float(rows[1]["kl"]) == 0.1 + 0.2


def test_later_keys_get_columns(tmp_path):
    path = tmp_path / "progress.csv"
    with ProgressFile(path) as progress:
        progress.write({"kl": 0.5})
        progress.write({"kk": 'a "b", c', "kl": 0.25})
        progress.write({"kk": "d"})
        assert rows_of(path) == [
            {"kl": "0.5", "kk": ""},
            {"kl": "0.25", "kk": 'a "b", c'},
            {"kl": "", "kk": "d"},
        ]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("column", ["num_timesteps", "time/total_timesteps"])
def test_a_resumed_csv_file_keeps_the_rows_up_to_the_checkpoint(column, tmp_path):
    path = tmp_path / "progress.csv"
    with ProgressFile(path) as progress:
        for steps in (10, 20, 30, 40):
            progress.write({"kl": steps / 100, column: steps})
        progress.write({"kl": 9.0})  # without a step
    path.write_text(path.read_text() + "0.5,1")  # cut short by a kill
    with ProgressFile(path, resumed=20) as progress:
        progress.write({column: 30, "kl": 7.5})
        progress.write({column: 40, "kk": 7.5})
    lines = [f"kl,{column},kk", "0.1,10,", "0.2,20,", "9.0,,", "7.5,30,", ",40,7.5"]
    assert path.read_text().splitlines() == lines
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", [JsonLines, BoxFile])
def test_resumed_texts_keep_the_entries_up_to_the_checkpoint(kind, tmp_path):
    path = tmp_path / "texts"
    kind(path, resumed=20).close()  # no file yet
    texts = [
        {"time/iterations": 1, "time/total_timesteps": 10},
        {"note": "without a step"},
        {"eval/mean_reward": 1.0, "time/total_timesteps": 15},
        {"time/iterations": 2, "time/total_timesteps": 20},
        {"eval/mean_reward": 2.0, "time/total_timesteps": 25},
        {"note": "without a step, after a dropped one"},
    ]
    file, kept = kind(path), ""
    for text in texts:
        kept = path.read_text() if text is texts[4] else kept
        file.write(text)
    file.close()
    complete = path.read_text()
    kind(path, resumed=20).close()
    assert path.read_text() == kept != ""
    path.write_text(kept[:-1])  # cut short by a kill
    kind(path, resumed=20).close()
    assert path.read_text() != kept
    assert kept.startswith(path.read_text())
    path.write_text(complete)
    kind(path).close()
    assert path.read_text() == ""


@pytest.mark.parametrize("name", ["progress.csv", "progress.json", "log.txt"])
def test_a_truncated_utf_8_character_loses_no_earlier_line(name, tmp_path):
    formats = [{"progress.csv": "csv", "progress.json": "json", "log.txt": "log"}[name]]
    with closing(configure(tmp_path, formats)) as logger:
        logger.record("time/total_timesteps", 10)
        logger.dump(10)
    path = tmp_path / name
    complete = path.read_bytes()
    path.write_bytes(complete + "ö".encode()[:1])
    configure(tmp_path, formats, resumed=10).close()
    assert path.read_bytes().splitlines() == complete.splitlines()


@pytest.mark.parametrize("name", ["csv", "json", "log"])
def test_a_resumed_log_repeats_no_dump_of_callbacks(name, tmp_path):
    for resumed in (0, 20):
        with closing(configure(tmp_path, [name], resumed)) as logger:
            for steps in range(resumed + 5, 31, 5):
                logger.record("custom/height", steps / 1000)
                logger.dump(steps)
    (path,) = tmp_path.iterdir()
    assert re.findall(r"0\.0\d+", path.read_text()) == [f"{n / 1000}" for n in range(5, 31, 5)]


@pytest.mark.parametrize("name", ["csv", "json"])
def test_steps_that_are_not_integers_are_compared_or_dropped(name, tmp_path):
    with closing(configure(tmp_path, [name])) as logger:
        for steps in (10.0, 2e1, 30.0, "many", "many"):
            logger.record("time/total_timesteps", steps)
            logger.dump()
    path = tmp_path / f"progress.{name}"
    configure(tmp_path, [name], resumed=20).close()
    assert path.read_text().count("0.0") == 2
    assert "many" not in path.read_text()
    path.write_text("5\n" * 3)  # another program's
    configure(tmp_path, [name], resumed=20).close()


@pytest.mark.parametrize("before", [None, "", "iteration,kl\r\n1,0.5\r\n"])
def test_a_new_run_overwrites_the_file(before, tmp_path):
    path = tmp_path / "progress.csv"
    if before is not None:
        path.write_text(before)
    with ProgressFile(path) as progress:
        progress.write({"iteration": 1, "other": 1})
    assert path.read_text().splitlines() == ["iteration,other", "1,1"]


@pytest.mark.skipif(os.name == "nt", reason="there are no such limits")
@pytest.mark.parametrize("name", ["csv", "json", "log"])
def test_a_line_that_does_not_fit_on_the_disk_is_not_written(name, tmp_path):
    model, file = small_model(), {"csv": "progress.csv", "json": "progress.json", "log": "log.txt"}
    model.set_logger(configure(tmp_path, [name]))
    model.learn(32)
    path = tmp_path / file[name]
    before = path.read_bytes()
    with disk_of(len(before) + 10), pytest.raises(SaveError, match=rf"cannot save .*{path.name}"):
        model.learn(32)
    assert path.read_bytes() == before
    model.learn(32)
    model.logger.close()
    after = path.read_bytes()
    assert after.startswith(before)
    assert len(after) > len(before)


@pytest.mark.skipif(os.name == "nt", reason="there are no such limits")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_full_disk_is_a_save_error_of_tensorboard_too(tmp_path):
    pytest.importorskip("tensorboard")
    model = small_model(tensorboard_log=str(tmp_path))
    with disk_of(2000), pytest.raises(SaveError, match=r"cannot save .*events"):
        model.learn(32 * 50)


# -- the formats -----------------------------------------------------------------------------------


def test_the_table_looks_like_that_of_stable_baselines3():
    values = {"train/std": 0.987654, "time/fps": 972, "train/kl": 1.5e-7, "alone": "yes"}
    assert box(values).splitlines() == [
        "--------------------",
        "| alone  | yes     |",
        "| time/  |         |",
        "|    fps | 972     |",
        "| train/ |         |",
        "|    kl  | 1.5e-07 |",
        "|    std | 0.988   |",
        "--------------------",
    ]


def test_rows_align_with_the_header(capsys):
    logger = configure(None, ["rows"])
    model = small_model()
    model.set_logger(logger)
    model.learn(128, log_interval=1)
    header, *rows = capsys.readouterr().out.splitlines()
    assert header == table_header()
    assert header.split()[:3] == ["iter", "steps", "return"]
    assert [row.split()[:2] for row in rows] == [["1", "64"], ["2", "128"]]
    assert {len(line) for line in (header, *rows)} == {len(header)}
    assert len(table_row({"time/total_timesteps": 10**9}).split()) == len(header.split())


@pytest.mark.parametrize("verbose", [1, True])
def test_verbose_prints_the_table(verbose, capsys):
    small_model(Pointer(), verbose=verbose).learn(32)
    out = capsys.readouterr().out
    tables = re.findall(r"-+\n(?:\|.*\|\n)+-+\n", out)
    assert "".join(tables) == out
    assert len(tables) == 2
    names = set(re.findall(r"^\|    (\S+) +\|", tables[-1], re.M))
    assert names >= {tag.split("/")[1] for tag in TAGS}
    assert not {name for name in names if name.startswith(("seconds", "cg_"))}
    assert re.search(r"\|    total_timesteps +\| 32 +\|", tables[-1])


def test_log_interval_sets_which_iterations_are_printed(capsys):
    small_model(verbose=1).learn(256, log_interval=2)
    steps = re.findall(r"total_timesteps +\| (\d+)", capsys.readouterr().out)
    assert steps == ["128", "256"]
    small_model(verbose=1).learn(256, log_interval=None)
    assert capsys.readouterr().out == ""


def test_nothing_is_printed_by_default(model, capsys):
    model.learn(64)
    assert capsys.readouterr() == ("", "")


def test_the_progress_bar_keeps_the_table_above_it(capsys):
    small_model(verbose=1).learn(128, progress_bar=True)
    out, err = capsys.readouterr()
    assert out.count("time/") == 2
    assert re.search(r"return \d+\.\d, KL 0\.\d+, \d+ steps/s", err)


def test_the_default_progress_bar_needs_a_terminal(model, capsys):
    model.learn(64, progress_bar=None)
    assert capsys.readouterr() == ("", "")


def test_all_formats_hold_the_same_values(tmp_path):
    model = small_model(Pointer())
    model.set_logger(configure(tmp_path / "new", ["csv", "json", "log"]))
    record = model.learn(32).records[-1]
    rows = rows_of(tmp_path / "new" / "progress.csv")
    lines = [json.loads(x) for x in (tmp_path / "new" / "progress.json").read_text().splitlines()]
    assert len(rows) == len(lines) == 2
    for values in (rows[-1], lines[-1]):
        assert set(values) >= TAGS
        assert float(values["train/kl_divergence_loss"]) == record["kl"]
        assert float(values["rollout/ep_rew_mean"]) == record["return_mean"]
        assert float(values["train/value_loss"]) == record["value_loss"]
        assert int(values["time/total_timesteps"]) == 32
        assert float(values["time/seconds_collect"]) > 0
    assert (tmp_path / "new" / "log.txt").read_text().count("time/") == 2


def test_a_string_is_not_a_list_of_formats(tmp_path):
    with pytest.raises(TypeError, match=r"format_strings must be a list.*\['csv'\]"):
        configure(tmp_path, "csv")


def test_json_has_no_nan(tmp_path):
    logger = configure(tmp_path, ["json"])
    logger.record("a", float("nan"))
    logger.record("b", "text")
    logger.dump()
    assert (tmp_path / "progress.json").read_text() == '{"a": null, "b": "text"}\n'


@table(
    ("value", "written"),
    [
        (np.array([1.5, np.nan]), "[1.5, null]"),
        (np.array([[1], [2]]), "[[1], [2]]"),
        (np.array([1j]), '["1j"]'),
        (np.array([Fraction(1, 3)]), '["1/3"]'),
        (Fraction(1, 3), '"1/3"'),
    ],
    ids=str,
)
def test_json_holds_values_of_any_type(value, written, tmp_path):
    logger = configure(tmp_path, ["json"])
    logger.record("a", value)
    logger.dump()
    assert (tmp_path / "progress.json").read_text() == f'{{"a": {written}}}\n'


def test_tensorboard_reads_the_values_back(tmp_path):
    module = "tensorboard.backend.event_processing.event_accumulator"
    accumulators = pytest.importorskip(module)
    for resumed in (False, False, True):
        model = small_model(Pointer(), tensorboard_log=str(tmp_path))
        record = model.learn(48, tb_log_name="run", reset_num_timesteps=not resumed).records[-1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run_1", "run_2"]
    events = accumulators.EventAccumulator(str(tmp_path / "run_1")).Reload()
    assert set(events.Tags()["scalars"]) >= TAGS
    for tag, key in {
        "rollout/ep_rew_mean": "return_mean",
        "train/kl_divergence_loss": "kl",
    }.items():
        scalars = events.Scalars(tag)
        assert [each.step for each in scalars] == [16, 32, 48]
        assert scalars[-1].value == pytest.approx(record[key])
    assert "torch" not in sys.modules
    assert "tensorflow" not in sys.modules


def test_a_resumed_tensorboard_log_repeats_no_step(tmp_path):
    module = "tensorboard.backend.event_processing.event_accumulator"
    accumulators = pytest.importorskip(module)
    for resumed, value in ((0, 1.0), (20, 2.0)):
        logger = configure(tmp_path, ["tensorboard"], resumed)
        for steps in range(resumed + 10, 41, 10):
            logger.record("a", value)
            logger.dump(steps)
        logger.close()
    events = accumulators.EventAccumulator(str(tmp_path)).Reload()
    values = [(each.step, each.value) for each in events.Scalars("a")]
    assert values == [(10, 1.0), (20, 1.0), (30, 2.0), (40, 2.0)]


@table("name", ["run", "study/run", "kl=[0.01]", "run_2"])
def test_each_call_of_learn_has_its_own_tensorboard_folder(name, tmp_path):
    pytest.importorskip("tensorboard")
    model = small_model(tensorboard_log=str(tmp_path))
    for _ in range(2):
        model.learn(32, tb_log_name=name)
    model.learn(32, tb_log_name=name, reset_num_timesteps=False)
    files = {n: len([*Path(f"{tmp_path / name}_{n}").iterdir()]) for n in (1, 2)}
    assert files == {1: 1, 2: 2}


def test_a_missing_tensorboard_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)
    with pytest.raises(ImportError, match=r"pip install 'fasttrpo\[tensorboard\]'"):
        small_model(tensorboard_log=tmp_path).learn(64)
    with pytest.raises(ValueError, match="tensorboard_log must be a path, got 3"):
        small_model(tensorboard_log=3)


# -- the logger ------------------------------------------------------------------------------------


def test_values_are_written_once(tmp_path):
    logger = configure(tmp_path, ["json", "csv"])
    for value in (1.0, 2.0, None, 6.0):
        logger.record_mean("mean", value)
        logger.record("last", value, exclude="csv")
    logger.dump(5)
    logger.record("mean", 7.0)
    logger.dump(6)
    logger.record("hidden", 1, exclude=("csv", "json"))
    logger.dump(7)
    logger.dump(8)
    lines = (tmp_path / "progress.json").read_text().splitlines()
    steps = "time/total_timesteps"
    assert list(map(json.loads, lines)) == [
        {"mean": 3.0, "last": 6.0, steps: 5},
        {"mean": 7.0, steps: 6},
    ]
    assert [float(row["mean"]) for row in rows_of(tmp_path / "progress.csv")] == [3.0, 7.0]
    assert "last" not in (tmp_path / "progress.csv").read_text()
    assert logger.get_dir() == str(tmp_path)


def test_set_level_filters_messages(capsys):
    logger = configure(None, ["stdout"])
    logger.debug("too fine")
    logger.info("seen", 1)
    logger.set_level(ERROR)
    logger.warn("too fine")
    logger.error("seen 2")
    logger.set_level(DISABLED)
    logger.record("a", 1)
    logger.dump()
    Logger(None).info("nowhere")
    assert capsys.readouterr().out == "seen 1\nseen 2\n"


def test_invalid_formats_are_refused():
    with pytest.raises(ValueError, match="unknown log format 'tensorbord'; did you mean 'tensorbo"):
        configure("logs", ["tensorbord"])
    with pytest.raises(ValueError, match="the log format 'csv' needs a folder"):
        configure(None, ["stdout", "csv"])
    assert set(FORMATS) >= {"stdout", "csv", "json", "log", "tensorboard"}


class Recorder(BaseCallback):
    def _on_rollout_end(self):
        self.logger.record("custom/height", self.num_timesteps / 2)
        self.logger.record_mean("custom/mean", 1.0)


def test_values_recorded_by_callbacks_are_in_the_log_and_the_records(tmp_path):
    model = small_model()
    model.set_logger(configure(tmp_path, ["json"]))
    model.learn(128, callback=Recorder())
    lines = [json.loads(line) for line in (tmp_path / "progress.json").read_text().splitlines()]
    assert [line["custom/height"] for line in lines] == [32, 64]
    assert [record["custom/height"] for record in model.records] == [32, 64]
    assert "custom/height" not in model.learn(64).records[-1]
