"""What `fasttrpo train` prints while it works: bars, lines, warnings."""

from __future__ import annotations

import re
import sys
import warnings

import pytest

from fasttrpo import cli
from fasttrpo.cli import eval as evaluation
from fasttrpo.cli import progress

SHORT = ["--n-envs", "2", "--n-steps", "16", "--total-timesteps", "64", "--no-progress"]


@pytest.fixture(autouse=True)
def few_episodes(monkeypatch):
    """Evaluations have few episodes."""
    monkeypatch.setattr(evaluation, "EVAL_EPISODES", 3)


def test_progress_bars_show_training_and_evaluation(capsys):
    cli.main(["train", "CartPole-v1", *SHORT[:-1]])
    assert capsys.readouterr().err == ""  # no terminal, and no --progress
    cli.main(["train", "CartPole-v1", *SHORT[:-1], "--progress"])
    err = capsys.readouterr().err
    assert "steps/s" in err
    assert "evaluation" in err


def test_a_warning_is_one_line_that_is_printed_once(capsys):
    """Without the place in this package that caused it."""
    arguments = [*SHORT, "--env-kwargs", "render_mode=rgb_array", "--out", "run"]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = _show
        assert cli.main(["train", "CartPole-v1", *arguments]) == 0
    line, *others = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "fasttrpo: warning: CartPole-v1: using Gymnasium's environments, because"
    )
    assert others == []


def _show(*warning):
    """As Python shows warnings; pytest would collect them instead."""
    sys.stderr.write(warnings.formatwarning(*warning[:4]))


def steps_in(lines):
    """The numbers in lines like "step 32 of 64 (50%), return nan, KL 0.01, 9 steps/s, 1 s left"."""
    form = r"step (\d+) of (\d+) \((\d+)%\), return \S+, KL \d\.\d+.*, \S+ steps/s, \d+ s left"
    found = [re.fullmatch(form, line) for line in lines if line.startswith("step")]
    assert all(found), lines
    return [tuple(map(int, each.groups())) for each in found if each]


def test_lines_show_progress_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0)
    cli.main(["train", "CartPole-v1", *SHORT[:-1], "--out", "run"])
    lines = capsys.readouterr().err.splitlines()
    assert steps_in(lines) == [(32, 64, 50), (64, 64, 100)]
    assert re.fullmatch(r"evaluation: \d of 3 episodes ended, \d+ steps, \d+ steps/s", lines[-1])
    cli.main(["train", "--resume", "run", "--total-timesteps", "128"])
    assert steps_in(capsys.readouterr().err.splitlines()) == [(96, 128, 75), (128, 128, 100)]
    cli.main(["train", "--resume", "run", "--total-timesteps", "160", "--no-progress"])
    assert capsys.readouterr().err == ""
    evaluated = ["--eval-freq", "32", "--eval-episodes", "2", "--total-timesteps", "192"]
    cli.main(["train", "--resume", "run", *evaluated])
    assert capsys.readouterr().err.startswith("evaluation: ")  # before the iteration's own line
    cli.main(["train", "CartPole-v1", *SHORT[:-1], "--seeds", "0,1", "--out", "group"])
    lines = capsys.readouterr().err.splitlines()
    assert steps_in(lines)[-1] == (128, 128, 100)
    assert "2 seeds" in lines[-1]


def test_the_rate_and_the_time_left_count_this_process_only(capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 10)
    now = iter([100.0, 104.0, 110.0, 112.0, 250.0])
    lines = progress.Lines(100_000, 40_000, clock=lambda: next(now))
    for _ in range(4):
        lines.add(5000, "words")
    assert capsys.readouterr().err.splitlines() == [
        "step 50000 of 100000 (50%), words, 1000 steps/s, 50 s left",
        "step 60000 of 100000 (60%), words, 133 steps/s, 5 min 0 s left",
    ]


def test_bars_count_the_steps_of_earlier_processes(capsys):
    cli.main(["train", "CartPole-v1", *SHORT, "--out", "run"])
    seeds = ["--seeds", "0", "--out", "group"]
    cli.main(["train", "CartPole-v1", *SHORT, *seeds])
    capsys.readouterr()
    for folder in ("run", "group"):
        more = ["--resume", folder, "--total-timesteps", "128", "--progress"]
        assert cli.main(["train", *more]) == 0
        assert re.search(r"50%\|.*64\.0/128", capsys.readouterr().err)
