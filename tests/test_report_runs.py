"""Run folders: which are found, what is read, and how they are grouped."""

from __future__ import annotations

import traceback

import numpy as np
import pytest
from helpers import small_model
from run_folders import write_csv, write_evaluation, write_run

from fasttrpo import cli, configure
from fasttrpo.callbacks import EvalCallback
from fasttrpo.report.groups import group_runs
from fasttrpo.report.runs import check_column, find, load, read


def names(folder):
    return [(group.name, len(group.runs)) for group in group_runs(load([folder])[0])]


def test_seeds_are_found_in_numeric_order(tmp_path):
    for seed in (0, 2, 10):
        write_run(tmp_path / "CartPole" / f"seed{seed}", seed=seed)
    assert [p.name for p in find(tmp_path)] == ["seed0", "seed2", "seed10"]
    assert [p.name for p in find(tmp_path / "CartPole" / "seed2")] == ["seed2"]
    runs, _ = load([tmp_path, tmp_path / "CartPole", tmp_path / "CartPole" / "seed2"])
    assert [run.name for run in runs] == ["seed 0", "seed 2", "seed 10"]  # each once


def test_seeds_with_the_same_settings_form_a_group(tmp_path):
    for seed in range(3):
        write_run(tmp_path / f"a{seed}", seed=seed)
        write_run(tmp_path / f"b{seed}", seed=seed, settings={"target_kl": 0.02, "n_threads": 1})
    write_run(tmp_path / "c", env_id="Pendulum-v1")
    assert names(tmp_path) == [
        ("CartPole-v1, target_kl=0.01", 3),
        ("CartPole-v1, target_kl=0.02", 3),
        ("Pendulum-v1", 1),
    ]


def test_groups_are_named_by_their_differences(tmp_path):
    def kwargs(sizes):
        return {"policy_kwargs": {"net_arch": {"pi": sizes, "vf": [8]}, "activation_fn": "tanh"}}

    write_run(tmp_path / "a", settings=kwargs([8]))
    write_run(tmp_path / "b", settings=kwargs([16, 16]) | {"n_critic_updates": 3})
    assert names(tmp_path) == [
        ("n_critic_updates=1, net_arch.pi=[8]", 1),
        ("n_critic_updates=3, net_arch.pi=[16, 16]", 1),
    ]


def test_the_number_of_threads_does_not_separate_groups(tmp_path):
    write_run(tmp_path / "a", seed=0, settings={"n_threads": 1})
    write_run(tmp_path / "b", seed=1, settings={"n_threads": 2})
    assert names(tmp_path) == [("CartPole-v1", 2)]


@pytest.mark.parametrize(("target_kl", "n_groups"), [("linear", 2), ("linear_0.02", 2), (0.02, 1)])
def test_a_schedule_over_another_total_is_another_group(target_kl, n_groups, tmp_path):
    settings = {"target_kl": target_kl}
    for seed, total in enumerate((4000, 8000)):
        write_run(tmp_path / f"seed{seed}", seed=seed, total=total, settings=settings)
    assert len(group_runs(load([tmp_path])[0])) == n_groups


def test_groups_with_many_differences_are_named_by_folder(tmp_path):
    more = {"gamma": 0.9, "gae_lambda": 0.8, "target_kl": 0.1, "cg_damping": 1.0}
    write_run(tmp_path / "plain")
    write_run(tmp_path / "tuned", settings=more)
    assert names(tmp_path) == [("plain", 1), ("tuned", 1)]


def test_without_config_folders_form_the_groups(tmp_path):
    for where in ("x/one", "x/two", "y/one"):
        folder = write_run(tmp_path / where)
        (folder / "config.json").unlink()
    assert [len(group.runs) for group in group_runs(load([tmp_path])[0])] == [2, 1]


def test_an_incomplete_last_line_is_ignored(tmp_path):
    folder = write_run(tmp_path / "run")
    with open(folder / "progress.csv", "a") as file:
        file.write("41,4100,2")
    assert read(folder).steps == 4000
    assert not np.isnan(read(folder).column("return_mean")).any()


def test_columns_of_numbers_and_texts_are_read(tmp_path):
    folder = write_run(tmp_path / "run", n=2, rejected=["kl", ""], explained_variance=["", "nan"])
    run = read(folder)
    assert list(run.columns["rejected"]) == ["kl", ""]
    assert np.isnan(run.column("explained_variance")).all()
    assert np.isnan(run.column("no such column")).all()


@pytest.mark.parametrize("name", ["evaluation.json", "eval.json"])
def test_evaluations_are_read_including_older_files(name, tmp_path):
    folder = write_run(tmp_path / "run")
    assert read(folder).evaluation is None
    write_evaluation(folder, 499.0, name)
    assert read(folder).evaluation["mean_return"] == 499.0


def test_records_of_learn_have_the_columns_that_are_read(tmp_path):
    """Every column that the report uses exists in a real record."""
    model = small_model()
    model.learn(64)
    write_csv(tmp_path / "progress.csv", {k: [v] for k, v in model.records[0].items()})
    run = read(tmp_path)
    for name in ("kl", "kl_predicted", "target_kl", "steps_per_second", "cg_residual"):
        assert np.isfinite(run.column(name)).all(), name


def test_a_log_folder_from_python_is_a_run(tmp_path):
    """Its tags become columns; rows that hold only an evaluation are not records."""
    model = small_model()
    model.set_logger(configure(tmp_path, ["csv"]))
    evaluate = EvalCallback("CartPole-v1", eval_freq=24, verbose=0, log_path=tmp_path)
    model.learn(64 * 6, evaluate)
    run = read(tmp_path)
    for name in ("iteration", "num_timesteps", "return_mean", "kl", "kl_predicted", "std"):
        np.testing.assert_array_equal(run.column(name), [r[name] for r in model.records], name)
    assert list(run.columns["rejected"]) == [r["rejected"] for r in model.records]
    assert len(run.evaluations["mean_reward"]) == 4
    assert cli.main(["report", str(tmp_path)]) == 0


# -- errors ---------------------------------------------------------------------------------------


def test_a_missing_folder_suggests_the_nearest(tmp_path):
    write_run(tmp_path / "CartPole-v1-seed0")
    with pytest.raises(FileNotFoundError, match=r"did you mean '.*CartPole-v1-seed0'"):
        load([tmp_path / "CartPole-v1-seed1"])


def test_a_folder_without_runs_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"is not a run: there is no progress\.csv in it"):
        load([tmp_path])


@pytest.mark.parametrize("text", [None, "", "iteration,num_timesteps\n"])
def test_a_run_without_records_is_an_error_or_left_out(text, tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "progress.csv").unlink()
    if text is not None:
        (folder / "progress.csv").write_text(text)
    with pytest.raises(ValueError, match="has no record yet"):
        load([tmp_path])
    write_run(tmp_path / "other", seed=1)
    runs, left_out = load([tmp_path])
    assert len(runs) == 1
    assert "has no record yet" in left_out[0]


def test_damaged_files_are_named(tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        load([folder])
    (folder / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="not a JSON object"):
        load([folder])
    (folder / "progress.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="has no column num_timesteps"):
        load([folder])


def test_damaged_and_failed_runs_do_not_affect_others(tmp_path):
    write_run(tmp_path / "a")
    (write_run(tmp_path / "b", seed=1) / "config.json").write_text("{")
    failed = write_run(tmp_path / "c", seed=2)
    (failed / "progress.csv").unlink()
    (failed / "error.txt").write_text("Traceback\nRuntimeError: boom\n")
    runs, left_out = load([tmp_path])
    assert [run.folder.name for run in runs] == ["a"]
    assert "config.json is damaged" in left_out[0]
    assert left_out[1].endswith("c has no record yet: it failed: RuntimeError: boom")


@pytest.mark.parametrize("words", ["the wheel came off", "the wheel came off\nat noon"])
def test_the_error_is_found_above_its_notes(words, tmp_path):
    try:
        raise ValueError(words)
    except ValueError as error:
        error.add_note("raised by the environment's step")
        text = traceback.format_exc()
    (write_run(tmp_path / "run") / "error.txt").write_text(text)
    assert load([tmp_path])[0][0].error == "ValueError: the wheel came off"


def test_an_unknown_column_suggests_the_nearest(tmp_path):
    runs, _ = load([write_run(tmp_path / "run")])
    check_column(runs, "kl")
    with pytest.raises(ValueError, match="unknown column 'return_men'; did you mean 'return_mean"):
        check_column(runs, "return_men")
