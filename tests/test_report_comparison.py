"""How a report compares settings: ranking, targets, what is left out, what was used."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from run_folders import write_csv, write_evaluation, write_run
from tables import table
from test_report import Reader, report

from fasttrpo import cli
from fasttrpo.report.comparison import compare, odds
from fasttrpo.report.comparison_card import verdict
from fasttrpo.report.effective import used_settings
from fasttrpo.report.groups import group_runs
from fasttrpo.report.repeat import repeat
from fasttrpo.report.runs import load, read
from fasttrpo.report.scales import LINEAR, LOG, NEGATIVE_LOG, kind_for, scale
from fasttrpo.report.targets import Target, target_of

SMALL, LARGE = {"target_kl": 0.001}, {"target_kl": 0.1}


def write_seeds(folder, settings, scores, **columns):
    """A run per score, which is its evaluation's mean return."""
    for seed, score in enumerate(scores):
        run = write_run(folder / f"seed{seed}", seed=seed, settings=settings, **columns)
        write_evaluation(run, score)


def compared(folder, target=None):
    return compare(group_runs(load([folder])[0]), target)


def labels(found):
    return [entry.group.label for entry in found.entries]


def text_of(*folders):
    return " ".join(Reader(report(*folders)).text.split())


# -- the ranking ----------------------------------------------------------------------------------


def test_settings_are_ranked_by_their_evaluations(tmp_path):
    """And not by the returns in training, which are the same here."""
    write_seeds(tmp_path / "a", SMALL, [10, 20, 30])
    write_seeds(tmp_path / "b", LARGE, [25, 40, 55])
    found = compared(tmp_path)
    assert found.is_evaluation
    assert labels(found) == ["target_kl=0.1", "target_kl=0.001"]
    best, second = found.entries
    assert (best.middle, best.interval, best.beaten) == (40, (25, 55), None)
    assert second.beaten[:2] == (8 / 9, 9)
    text = text_of(tmp_path)
    assert (
        "target_kl=0.1 has the highest return in the evaluation, 40 (range of the seeds 25 to"
        in (text)
    )
    assert (
        "better than the next, target_kl=0.001, in 8 of 9 pairs of seeds: their seeds over" in text
    )
    assert text.index("1. target_kl=0.1 ") < text.index("2. target_kl=0.001 ")


def test_without_evaluations_the_end_of_training_counts(tmp_path):
    write_run(tmp_path / "a", settings=SMALL)
    write_evaluation(write_run(tmp_path / "b", settings=LARGE, return_mean=[7.0] * 40))
    found = compared(tmp_path)
    assert not found.is_evaluation
    assert [entry.middle for entry in found.entries] == [200, 7]
    assert "a single seed cannot tell them apart" in verdict(found)


def test_an_evaluation_at_the_end_of_training_counts(tmp_path):
    """If there is none after training, but not an earlier one."""
    for name, last, settings in (("a", 4000, SMALL), ("b", 4000, LARGE)):
        columns = {"num_timesteps": [2000, last], "mean_reward": [900.0, 30.0 + last % 7]}
        write_csv(write_run(tmp_path / name, settings=settings) / "evaluations.csv", columns)
    found = compared(tmp_path)
    assert found.is_evaluation
    assert [entry.middle for entry in found.entries] == [33, 33]
    write_csv(tmp_path / "a" / "evaluations.csv", {"num_timesteps": [2000], "mean_reward": [900]})
    assert not compared(tmp_path).is_evaluation


def test_many_seeds_get_intervals(tmp_path):
    write_seeds(tmp_path / "a", SMALL, range(0, 60, 10))
    write_seeds(tmp_path / "b", LARGE, range(25, 85, 10))
    found = compared(tmp_path)
    low, high = found.entries[0].interval
    assert 25 < low < found.entries[0].middle < high < 75
    low, high = found.entries[1].beaten.interval
    assert 0.5 < low < found.entries[1].beaten.share < high <= 1
    text = text_of(tmp_path)
    assert "95% interval" in text
    assert "return, IQM" in text


def test_equal_settings_share_a_rank(tmp_path):
    write_seeds(tmp_path / "a", SMALL, [500, 500])
    write_seeds(tmp_path / "b", LARGE, [500, 500])
    text = text_of(tmp_path)
    assert "have the same return in the evaluation, 500" in text
    assert "1. target_kl=0.001 " in text
    assert "1. target_kl=0.1 " in text


@table(
    ("scores", "others", "share"),
    [([2.0], [1.0], 1.0), ([1.0], [1.0], 0.5), ([1.0, 3.0], [2.0, 0.0], 0.75), ([0.0], [1.0], 0)],
)
def test_odds_of_known_values(scores, others, share):
    assert odds(np.array(scores), np.array(others))[:2] == (share, len(scores) * len(others))


def test_failed_and_unfinished_runs_do_not_count_and_are_named(tmp_path):
    write_seeds(tmp_path / "a", SMALL, [10, 20])
    write_seeds(tmp_path / "b", LARGE, [5, 6])
    failed = write_run(tmp_path / "a" / "seed2", seed=2, settings=SMALL)  # in its evaluation
    write_evaluation(failed, 90)
    (failed / "error.txt").write_text("Traceback\nRuntimeError: boom\n")
    write_run(tmp_path / "a" / "seed3", 20, 3, total=4000, settings=SMALL)
    best = compared(tmp_path).entries[0]
    assert best.scores.tolist() == [10, 20]
    assert best.left_out == ("seed 2", "seed 3")
    text = text_of(tmp_path)
    assert "seed 2, seed 3" in text
    assert "Not counted: runs that failed or have not ended." in text


def test_settings_of_which_no_run_has_ended_are_marked(tmp_path):
    write_run(tmp_path / "a", settings=SMALL)
    write_run(tmp_path / "b", 20, total=4000, settings=LARGE)
    assert "No run of target_kl=0.1 has ended: the returns so far." in text_of(tmp_path)


def test_failed_episodes_are_counted(tmp_path):
    write_evaluation(write_run(tmp_path / "a"), episodes=50, success_rate=0.9)
    write_evaluation(write_run(tmp_path / "b", seed=1), episodes=150, success_rate=1.0)
    failed, total = compared(tmp_path).entries[0].episodes
    assert (failed, total) == (pytest.approx(5), 200)
    assert "5 of 200 (2%)" in text_of(tmp_path)


# -- targets --------------------------------------------------------------------------------------


def test_a_target_is_the_threshold_that_gymnasium_registers(tmp_path):
    assert target_of("CartPole-v1", {}) == Target(475.0, False)
    assert target_of("fasttrpo.envs:fasttrpo/CartPole-v1", {}) == Target(475.0, False)
    assert target_of("CartPole-v1", {"CartPole-v1": 9.0}) == Target(9.0, True)
    assert target_of("Pendulum-v1", {}) is None
    assert target_of("no_such_module:Walk-v0", {}) is None
    write_run(tmp_path / "run")
    text = Reader(report(tmp_path))
    assert "target 475" in text.text
    assert "steps to 475" in text.text
    assert cli.main(["report", str(tmp_path / "run"), "--target", "150"]) == 0
    assert "target 150" in (tmp_path / "run" / "report.html").read_text()


def test_steps_to_the_target_are_medians_over_all_seeds(tmp_path):
    """Seeds that never reach it count as infinitely late."""
    for seed, scale_ in enumerate((1.0, 2.0, 0.1)):
        write_run(tmp_path / f"seed{seed}", seed=seed, return_mean=5.0 * scale_ * np.arange(1, 41))
    reached = compared(tmp_path, Target(100.0, True)).entries[0].reached
    assert (reached.steps, reached.seconds, reached.runs) == (2000, pytest.approx(2.0), 2)
    assert "2,000 (2 of 3 seeds)" in " ".join(_report_with(tmp_path, 100.0).split())
    reached = compared(tmp_path, Target(300.0, True)).entries[0].reached
    assert (reached.steps, reached.runs) == (np.inf, 1)
    assert "1 of 3 seeds" in _report_with(tmp_path, 300.0)
    assert "not reached" in _report_with(tmp_path, 1000.0)


def test_the_target_is_reached_in_evaluations_if_every_run_has_some(tmp_path):
    columns = {"num_timesteps": [1000, 2050], "mean_reward": [50.0, 300.0]}
    for seed in range(2):
        write_csv(write_run(tmp_path / f"{seed}", seed=seed) / "evaluations.csv", columns)
    reached = compared(tmp_path, Target(300.0, True)).entries[0].reached
    assert (reached.steps, reached.seconds, reached.runs) == (2050, pytest.approx(2.1), 2)
    (tmp_path / "1" / "evaluations.csv").unlink()
    assert compared(tmp_path, Target(300.0, True)).entries[0].reached.runs == 0


def _report_with(folder, target):
    assert cli.main(["report", str(folder), "--target", str(target)]) == 0
    text = Reader((folder / "report.html").read_text()).text
    (folder / "report.html").unlink()
    return text


RISING = np.linspace(20, 500, 100)


@table(
    ("values", "target", "expected"),
    [
        (RISING, 475.0, (LINEAR, True)),
        (RISING, 5000.0, (LOG, True)),  # squashed below a far target
        (-np.linspace(1400, 150, 100), -130.0, (LINEAR, True)),
        (-np.geomspace(1e5, 100, 100), -90.0, (NEGATIVE_LOG, True)),  # near the target at last
        (np.linspace(-300, 900, 100), 9000.0, (LINEAR, False)),  # no logarithm of both signs
        (np.append(20.0, np.full(99, 500.0)), 475.0, (LINEAR, True)),  # a plateau
    ],
    ids=["near", "above", "negative", "from afar", "both signs", "plateau"],
)
def test_the_scale_suits_the_target(values, target, expected):
    assert kind_for([values], [values], target) == expected


@table("kind", [LINEAR, LOG, NEGATIVE_LOG])
def test_scales_ascend_and_their_ticks_lie_within(kind):
    values = np.geomspace(1, 4000, 20) * (kind or 1)
    values = np.sort(values)
    drawn = scale([values], 0.0, 100.0, 0.0, kind)
    pixels = drawn(values)
    assert pixels[[0, -1]] == pytest.approx([0, 100])
    assert (np.diff(pixels) > 0).all()
    ticks = drawn.ticks(5)
    assert len(ticks) > 2
    assert (np.diff(drawn(np.sort(ticks))) > 0).all()


def test_a_far_target_is_told_but_not_drawn(tmp_path):
    write_run(tmp_path / "run", return_mean=np.linspace(-50, 60, 40))
    text = _report_with(tmp_path, 9000.0)
    assert "Target: 9,000 is too far away to draw." in text
    assert "target 9,000" not in text


# -- the settings that were used ------------------------------------------------------------------


def test_settings_left_to_their_defaults_are_shown_with_their_values(tmp_path):
    write_run(tmp_path / "a", settings={"n_steps": 512, "n_envs": 4})
    write_run(tmp_path / "b", settings={"preconditioner": "none", "critic": "adam"})
    plain, other = (used_settings(read(tmp_path / name))[0] for name in "ab")
    names = "cg_max_steps", "n_critic_updates", "batch_size", "learning_rate", "env_backend"
    assert [plain[name] for name in names] == [3, 1, 128, "unused", "native"]
    assert [other[name] for name in names] == [15, 10, 128, 0.001, "native"]
    assert "3 (default)" in text_of(tmp_path / "a")


def test_a_setting_that_an_older_run_lacks_is_shown_as_its_default(tmp_path):
    """And does not make the run a group of its own."""
    older = write_run(tmp_path / "older")
    config = json.loads((older / "config.json").read_text())
    del config["settings"]["kl_direction"]
    (older / "config.json").write_text(json.dumps(config))
    write_run(tmp_path / "newer", seed=1)
    assert len(group_runs(load([tmp_path])[0])) == 1
    assert "kl_direction forward (default)" in text_of(tmp_path)


def test_each_run_is_repeated_by_a_command(tmp_path):
    folder = write_run(tmp_path / "a run")
    line = f"fasttrpo train --config '{folder}/config.json'"
    assert repeat(read(folder)) == line
    assert line in Reader(report(folder)).text
    (folder / "config.json").unlink()
    assert repeat(read(folder)) is None


def test_tables_fold_or_scroll_on_a_phone(tmp_path):
    """Cells of folding tables carry their column's title."""
    write_seeds(tmp_path / "a", SMALL, [10, 20])
    text = report(tmp_path)
    folding = re.search(r'<table class="folds">.*?</table>', text, re.DOTALL)[0]
    assert folding.count("<td") == folding.count("data-label=") > 4
    assert text.count("<table") == text.count('<div class="scroll" tabindex="0"><table')
