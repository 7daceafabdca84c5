"""Damaged, hostile, odd and very long runs are read, or left out by name."""

from __future__ import annotations

import json
import os
import re
import subprocess

import numpy as np
import pytest
from fuzz.run_mutants import check_page, run_mutants
from run_folders import example_columns, write_csv, write_evaluation, write_run
from tables import table

from fasttrpo import cli
from fasttrpo.report.columns import read_csv
from fasttrpo.report.groups import group_runs
from fasttrpo.report.page import page
from fasttrpo.report.runs import find, load
from fasttrpo.report.thinning import visible

EVIL = "<script>alert(1)</script>\"'&"


def with_config(**values):
    def damage(folder):
        config = json.loads((folder / "config.json").read_text()) | values
        (folder / "config.json").write_text(json.dumps(config))

    return damage


def with_text(name, text):
    return lambda folder: (folder / name).write_bytes(text)


def with_column(**columns):
    return lambda folder: write_csv(folder / "progress.csv", example_columns(40, 0) | columns)


def as_folder(folder):
    (folder / "progress.csv").unlink()
    (folder / "progress.csv").mkdir()


def as_pipe(folder):
    (folder / "progress.csv").unlink()
    os.mkfifo(folder / "progress.csv")


def as_loop(folder):
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("config.json")


HEAD = b"num_timesteps,return_mean\n"
BOMB = HEAD[:-1] + b",a" * 9000 + b"\n" + b"1\n" * 4000 + b"1," * 9000 + b"\n"
DAMAGES = {
    "settings null": (with_config(settings=None), "settings must be an object"),
    "settings a list": (with_config(settings=[]), "settings must be an object"),
    "a text for steps": (with_config(total_timesteps="4000"), "must be an integer from 0"),
    "steps beyond all": (with_config(total_timesteps=10**400), "must be an integer from 0"),
    "steps true": (with_config(total_timesteps=True), "must be an integer from 0"),
    "no text": (with_config(env_id=5), "env_id must be a string"),
    "a list of seeds": (with_config(settings={"seed": [1]}), "seed must be an integer or null"),
    "system null": (with_config(system=None), "system must be an object"),
    "versions a text": (with_config(versions="1"), "versions must be an object"),
    "deep": (with_text("config.json", b'{"a":' + b"[" * 100_000), "config.json is damaged"),
    "not quite as deep": (
        with_config(settings={"a": [[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]}),
        "deep",
    ),
    "huge": (with_text("config.json", b" " * (5 << 20)), "more than 4 MiB"),
    "junk for settings": (with_text("config.json", b"\xff\xfe\x00junk"), "config.json is damaged"),
    "link to itself": (as_loop, "config.json cannot be read: Too many levels"),
    "evaluation": (with_text("evaluation.json", b'{"mean_return": "5"}'), "must be a number, got"),
    "returns": (with_text("evaluation.json", b'{"returns": [1, null]}'), "a list of numbers"),
    "episodes": (with_text("evaluation.json", b'{"episodes": -1}'), "episodes must be"),
    "NaN steps": (with_column(num_timesteps=[np.nan, *range(39)]), "got nan in record 1"),
    "negative": (with_column(num_timesteps=range(-1, 39)), "got -1 in record 1"),
    "text for steps": (with_column(num_timesteps=[*range(39), "x"]), "got nan in record 40"),
    "returns of 1e308": (with_column(return_mean=[1e308] * 40), "'return_mean' has a number bey"),
    "-1e308 at once": (with_column(kl=[0.0] * 39 + [-1e308]), "'kl' has a number beyond 1e+300"),
    "a long field": (
        with_text("progress.csv", HEAD + b"1," + b"x" * 140_000 + b"\n"),
        "larger than field limit",
    ),
    "a long line": (with_text("progress.csv", HEAD + b"1" * (2 << 20)), "a line has more than"),
    "junk": (with_text("progress.csv", bytes(range(256)) * 30), "progress.csv"),
    "UTF-16": (with_text("progress.csv", (HEAD + b"1,2\n").decode().encode("utf-16")), "progress"),
    "a quote": (with_text("progress.csv", HEAD + b'1,"2\n3,4\n'), "progress.csv is damaged"),
    "longer rows": (
        with_text("progress.csv", HEAD + b"1,2,3\n"),
        "a row has 3 cells, the header 2",
    ),
    "more columns than 10,000": (with_text("progress.csv", b"a," * 10_001 + b"\n1\n"), "columns"),
    "a bomb": (with_text("progress.csv", BOMB), "more than 20,000,000 values"),
    "a folder": (as_folder, "progress.csv is damaged: it is not a file"),
    "a pipe": (as_pipe, "progress.csv is damaged: it is not a file"),
    "evaluations": (
        with_text("evaluations.csv", b"num_timesteps,mean_reward\nx,1\n"),
        "evaluations",
    ),
}


@table(("damage", "why"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_run_is_left_out_and_named(damage, why, tmp_path):
    write_run(tmp_path / "valid", seed=1)
    damage(write_run(tmp_path / "damaged"))
    runs, left_out = load([tmp_path])
    assert [run.folder.name for run in runs] == ["valid"]
    assert len(left_out) == 1
    assert left_out[0].startswith(str(tmp_path / "damaged"))
    assert why in left_out[0]


@pytest.mark.parametrize("command", ["report", "plot"])
def test_both_commands_continue_without_a_damaged_run(command, tmp_path, capsys):
    if command == "plot":
        pytest.importorskip("matplotlib")
    write_run(tmp_path / "valid")
    with_config(settings=None)(write_run(tmp_path / "damaged", seed=1))
    assert cli.main([command, str(tmp_path)]) == 0
    err = capsys.readouterr().err
    assert err.startswith(f"fasttrpo: left out: {tmp_path / 'damaged' / 'config.json'} is damaged")


def with_target(value):
    """A target that only the settings contain."""

    def change(folder):
        with_column(target_kl=None)(folder)
        with_config(settings={"target_kl": value})(folder)

    return change


OUTCOME = {"outcome": ["", "nan", "inf", "7", "-1", "x", *["0"] * 34]}
ODD = {
    "a BOM": with_text("progress.csv", b"\xef\xbb\xbf" + HEAD + b"100,5\n"),
    "Windows": with_text("progress.csv", HEAD + b"100,5\r\n200,6\r300,7\n"),
    "a BOM in JSON": with_text("config.json", b'\xef\xbb\xbf{"env_id": "CartPole-v1"}'),
    "shorter rows": with_text("progress.csv", HEAD + b"100\n200,6\n"),
    "a column that came late": with_column(custom=[""] * 30 + ["1"] * 10),
    "words in a column": with_column(kl=["a", "b"] * 20),
    "outcomes": with_column(**OUTCOME),
    "no speed": with_column(steps_per_second=[0.0, -1.0, "", "inf", *["1000"] * 36]),
    "a subnormal range": with_column(return_mean=[0.0] * 39 + [5e-324]),
    "the full range of a logarithm": with_column(value_loss=[5e-324] * 20 + [1e300] * 20),
    "critics below -1": with_column(explained_variance=[-5.0] * 40),
    "steps restart from 0": with_column(num_timesteps=[*range(1, 21), *range(1, 21)]),
    "another version's settings": with_config(settings={"policy": "CnnPolicy", "new": {"a": [1]}}),
    "a target beyond all floats": with_target(10**400),
    "a target of zero": with_target(0),
    "a surrogate": with_config(env_id="\ud800"),
    "a long error": with_text("error.txt", b"x" * (1 << 20)),
    "a name of markup": with_config(env_id=EVIL, settings={EVIL: EVIL}, system={EVIL: EVIL}),
    "a column of markup": with_column(**{EVIL: [1.0] * 40, "rejected": [EVIL] * 40}),
    "an error of markup": with_text("error.txt", EVIL.encode()),
}


@pytest.mark.filterwarnings("error")
@table("change", ODD.values(), ids=ODD)
def test_odd_runs_are_read(change, tmp_path):
    folder = write_run(tmp_path / EVIL.replace("/", ""))
    write_evaluation(folder)
    change(folder)
    runs, left_out = load([tmp_path])
    assert (len(runs), left_out) == (1, [])
    assert (np.diff(runs[0].column("num_timesteps")) >= 0).all()
    check_page(page(group_runs(runs)))


def test_names_of_left_out_runs_are_escaped(tmp_path):
    write_run(tmp_path / "valid")
    with_config(env_id=[EVIL])(write_run(tmp_path / "<b>", seed=1))
    check_page(page(group_runs(load([tmp_path])[0]), load([tmp_path])[1]))


def test_deep_folders_and_circular_links_are_searched(tmp_path):
    """Deeper than Python's recursion limit and the longest path."""
    write_run(tmp_path / "a" / "run")
    (tmp_path / "a" / "circle").symlink_to(tmp_path)
    (tmp_path / "a" / "itself").symlink_to("itself")
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("deep", dir_fd=here)
        below = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert [folder.name for folder in find(tmp_path)] == ["run"]
    subprocess.run(["rm", "-rf", tmp_path / "deep"], check=True)  # too deep for pytest
    with pytest.raises(FileNotFoundError, match="there is no run"):
        load([tmp_path / ("x" * 300)])


def test_mutated_runs_are_read_or_left_out(tmp_path):
    counts = run_mutants(40, 0, tmp_path)
    assert set(counts) == {"read", "left out"}


# -- long runs ------------------------------------------------------------------------------------


def test_thinned_curves_keep_every_peak():
    draw = np.random.default_rng(0)
    x, y = np.arange(100_000.0), draw.normal(size=100_000)
    y[[12_345, 77_777]] = 50, -50
    at = visible(x, (y,), 200)
    assert {0, 12_345, 77_777, 99_999} <= set(at)
    assert len(at) <= 800
    for part in np.array_split(np.arange(100_000), 200):
        inside = at[(at >= part[0]) & (at <= part[-1])]
        assert y[inside].max() >= np.sort(y[part])[-2]
        assert y[inside].min() <= np.sort(y[part])[1]
    assert visible(x[:800], (y[:800],), 200).tolist() == list(range(800))


def test_the_page_of_a_long_run_is_short(tmp_path):
    n = 20_000
    returns = np.random.default_rng(0).normal(size=n)
    returns[12_345] = 500.0
    outcome = np.arange(n) % 7 == 0
    steps = {"outcome": outcome * 1, "rejected": np.where(outcome, "kl", "")}
    runs, _ = load([write_run(tmp_path / "run", n, return_mean=returns, **steps)])
    text = page(group_runs(runs))
    check_page(text)
    assert len(text) < 400_000
    assert "&quot;500&quot;" in text  # the peak is in the tooltip's data


def test_the_page_of_many_runs_stays_below_a_megabyte(tmp_path):
    for seed in range(30):
        write_run(tmp_path / f"seed{seed}", 200, seed)
    text = page(group_runs(load([tmp_path])[0]))
    assert len(text) < 700_000


def test_both_csv_readers_read_the_same_values(tmp_path):
    """NumPy's reader, and Python's for files with empty cells."""
    columns = {"a": [1.5, -2e-7, np.inf], "rejected": ["", "kl", ""], "b": [1, 2, 3]}
    write_csv(tmp_path / "fast.csv", columns)
    write_csv(tmp_path / "slow.csv", columns | {"c": ["", "x", "True"]})
    fast, slow = read_csv(tmp_path / "fast.csv"), read_csv(tmp_path / "slow.csv")
    for name in columns:
        assert fast[name].tolist() == slow[name].tolist() == columns[name]
    assert np.isnan(slow["c"]).tolist() == [True, True, False]


@pytest.mark.filterwarnings("error")
def test_empty_lines_are_ignored(tmp_path):
    (tmp_path / "a.csv").write_bytes(HEAD + b"\n\r\n\n")
    assert read_csv(tmp_path / "a.csv") == {}


def test_quoted_texts_may_contain_line_breaks(tmp_path):
    text = '"a","b ""c"""\n1,"x\ny"\n2,z\n'
    (tmp_path / "a.csv").write_text(text)
    found = read_csv(tmp_path / "a.csv")
    assert found["a"].tolist() == [1, 2]
    assert re.fullmatch('b "c"', [*found][1])
