"""The command line, called in this process."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gymnasium.envs.classic_control import CartPoleEnv
from tables import table

import fasttrpo
from fasttrpo import TRPO, cli
from fasttrpo.cli import eval as evaluation
from fasttrpo.cli import options
from fasttrpo.envs.classic import has_extension
from fasttrpo.errors import (
    UserError,
    UserImportError,
    UserMemoryError,
    UserRuntimeError,
    UserTypeError,
)
from fasttrpo.training.trainer import Trainer

SHORT = ["--n-envs", "2", "--n-steps", "16", "--total-timesteps", "64", "--no-progress"]


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    """Each command runs in an empty folder, and evaluates over few episodes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluation, "EVAL_EPISODES", 3)
    return tmp_path


def train(*options):
    return cli.main(["train", "CartPole-v1", *SHORT, *options])


def test_train_writes_a_run_folder(in_a_new_folder, capsys):
    assert train("--seed", "7", "--set", "gamma=0.9", "--critic", "ridge") == 0
    folder = in_a_new_folder / "runs" / "CartPole-v1-seed7"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "config.json",
        "progress.csv",
        "model.npz",
        "checkpoint.npz",
        "evaluation.json",
    }
    config = json.loads((folder / "config.json").read_text())
    assert config["env_id"] == "CartPole-v1"
    assert config["settings"]["gamma"] == 0.9
    assert config["settings"]["critic"] == "ridge"
    with open(folder / "progress.csv", newline="") as file:
        assert [row["num_timesteps"] for row in csv.DictReader(file)] == ["32", "64"]
    assert TRPO.load(folder / "model.npz").settings.seed == 7
    result = json.loads((folder / "evaluation.json").read_text())
    assert len(result["returns"]) == result["episodes"] == 3
    assert result["mean_return"] == pytest.approx(np.mean(result["returns"]))
    printed = f"CartPole-v1: return {result['mean_return']:.2f} +- {result['std_return']:.2f}"
    assert printed in capsys.readouterr().out


def test_runs_are_never_overwritten(in_a_new_folder):
    for _ in range(3):
        assert train() == 0
    names = sorted(path.name for path in (in_a_new_folder / "runs").iterdir())
    assert names == ["CartPole-v1-seed0", "CartPole-v1-seed0-2", "CartPole-v1-seed0-3"]


def test_same_seed_same_numbers(in_a_new_folder):
    train("--out", "a")
    train("--out", "b")
    first, again = ((in_a_new_folder / x / "evaluation.json").read_text() for x in "ab")
    assert first == again


def test_eval_repeats_the_evaluation(in_a_new_folder, capsys):
    train("--out", "run")
    trained = capsys.readouterr().out.splitlines()[-2]
    assert cli.main(["eval", "run", "--episodes", "3", "--no-progress"]) == 0
    assert capsys.readouterr().out.splitlines() == [trained]
    assert cli.main(["eval", "run", "--episodes", "2", "--stochastic"]) == 0
    assert "over 2 stochastic episodes" in capsys.readouterr().out


def test_verbose_prints_a_table(capsys):
    train("--verbose", "--env-backend", "gymnasium")
    lines = capsys.readouterr().out.splitlines()
    assert "| rollout/                  |" in lines[2]
    assert sum("total_timesteps" in line for line in lines) == 2


@pytest.mark.skipif(not has_extension(), reason="this installation has no compiled environments")
def test_train_reports_compiled_environments_once(in_a_new_folder, capsys):
    train("--out", "ours")
    assert capsys.readouterr().out.count("CartPole-v1: using fasttrpo's implementation") == 1
    train("--out", "theirs", "--env-backend", "gymnasium")
    assert "fasttrpo's implementation" not in capsys.readouterr().out
    for name, backend in (("ours", None), ("theirs", "gymnasium")):
        config = json.loads((in_a_new_folder / name / "config.json").read_text())
        assert config["settings"]["env_backend"] == backend


def test_train_says_where_its_settings_come_from(capsys):
    def notice(*options):
        assert cli.main(["train", *options, *SHORT]) == 0
        return next(line for line in capsys.readouterr().out.splitlines() if "n_steps=" in line)

    sizes = "options n_envs=2, n_steps=16"
    tuned = "CartPole-v1: tuned settings gamma=0.98, normalize_observations=True; "
    assert notice("CartPole-v1") == tuned + sizes
    assert notice("FrozenLake-v1") == (
        "FrozenLake-v1: no tuned settings, so defaults "
        f"(`fasttrpo tune FrozenLake-v1` searches for better ones); {sizes}"
    )
    preset = "CartPole-v1: settings of spinningup; options n_envs=2, n_steps=16"
    assert notice("CartPole-v1", "--preset", "spinningup", "--set", "batch_size=8") == (
        f"{preset}, batch_size=8"
    )
    Path("run.toml").write_text("[settings]\ngamma = 0.5\n")
    assert notice("CartPole-v1", "--config", "run.toml") == (
        f"CartPole-v1: tuned settings normalize_observations=True; run.toml: gamma=0.5; {sizes}"
    )


def test_info_lists_version_and_machine(capsys):
    assert cli.main(["info"]) == 0
    lines = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())
    assert set(lines) == {"version", "backend", "precision", "instruction set", "threads", "cores"}
    assert lines["precision"].strip() == "float32, float64"


def test_errors_in_user_files_name_file_and_line(capsys, in_a_new_folder):
    pytest.importorskip("fasttrpo.core._envs", reason="no compiled environments")
    Path("own.py").write_text("def check():\n    raise ValueError('no such\\nthing')\n\ncheck()\n")
    assert cli.main(["train", "own.py:walk"]) == 2
    assert capsys.readouterr().err == "fasttrpo: own.py, line 2: ValueError: no such thing\n"
    Path("other.py").write_text("import there_is_none\n")
    assert cli.main(["train", "other.py:walk"]) == 2
    assert "other.py, line 1: ModuleNotFoundError: No module" in capsys.readouterr().err


@table(
    ("command", "message"),
    [
        (["train", "CartPol-v1"], "unknown environment id 'CartPol-v1'; did you mean 'CartPole-v1"),
        (["train", "no such"], "unknown environment id 'no such'"),
        (["train", "nomodule:X-v0"], "unknown environment id 'nomodule:X-v0'"),
        (["trian", "CartPole-v1"], "unknown command 'trian'; did you mean 'train'"),
        (["--verson"], "unknown option '--verson'; did you mean '--version'"),
        (["train", "CartPole-v1", "--set", "env=x"], "--set env: use the argument ENV_ID"),
        (["train", "CartPole-v1", "--sed", "3"], "unknown option '--sed'; did you mean '--se"),
        (["train", "CartPole-v1", "--n-env=3"], "unknown option '--n-env'; did you mean '--n-envs"),
        (["train", "CartPole-v1", "extra"], "unknown argument 'extra'"),
        (["train"], "ENV_ID"),
        (["train", "CartPole-v1", "--seed", "x"], "argument --seed: invalid int value: 'x'"),
        (["train", "CartPole-v1", "--set", "gama=1"], "unknown setting 'gama'; did you mean 'gamm"),
        (["train", "CartPole-v1", "--set", "gamma"], "NAME=VALUE, got 'gamma'"),
        (["train", "CartPole-v1", "--set", "gamma=high"], "gamma must be a number from 0 to 1"),
        (["train", "CartPole-v1", "--target-kl", "0"], "target_kl must be a number > 0, got 0.0"),
        (["train", "CartPole-v1", "--critic", "sgd"], "critic must be 'kfac' or 'gauss_newton'"),
        (["train", "CartPole-v1", "--policy", "LstmPolicy"], "policy must be 'MlpPolicy' or"),
        (["train", "CartPole-v1", "--preset", "sb2"], "unknown preset 'sb2'; did you mean 'sb3'"),
        (["train", "CartPole-v1", "--total-timesteps", "0"], "--total-timesteps must be an integ"),
        (
            ["train", "CartPole-v1", "--eval-episodes", "-1"],
            "--eval-episodes must be an integer >=",
        ),
        (
            ["train", "CartPole-v1", "--eval-freq", "9", "--eval-episodes", "0"],
            "--eval-episodes is 0: ",
        ),
        (
            ["train", "CartPole-v1", "--eval-freq", "1e19"],
            "--eval-freq must be at most 92233720368",
        ),
        (["train", "CartPole-v1", "--env-kwargs", "{x"], "argument --env-kwargs: '{x' is not JSON"),
        (["train", "CartPole-v1", "--env-kwargs", "x"], "must be JSON or NAME=VALUE, got 'x'"),
        (
            ["train", "CartPole-v1", "--env-kwargs", "slow=1"],
            "CartPole-v1 refuses --env-kwargs {'slow': 1}: CartPoleEnv.__init__() got an unexp",
        ),
        (["train", "CartPole-v1", "--total-timesteps", "1.5"], "must be an integer, got '1.5'"),
        (["train", "CartPole-v1", "--out", "."], "--out must be the name of a new folder, got '.'"),
        (["train", "CartPole-v1", "--out", ".."], "--out must be the name of a new folder, got '."),
        (["train", "CartPole-v1", "--total-timesteps", "inf"], "must be an integer, got 'inf'"),
        (["eval", "nowhere", "--episodes", "0"], "--episodes must be an integer >= 1, got 0"),
        (["eval", "nowhere", "--seed", "-1"], "--seed must be an integer >= 0, got -1"),
        (["train", "CartPole-v1", "--set", "n_envs=3"], "use the option --n-envs"),
        (["train", "CartPole-v1", "--set", "seed=3"], "use the option --seed"),
        (["train", "CartPole-v1", "--set", "policy=x"], "use the option --policy"),
        (["train", "CartPole-v1", "--n-steps", "99999999"], "n_steps must be an integer from 1 to"),
        (["train", "CartPole-v1", "--set", "gamma={[]: 1}"], "gamma must be a number from 0 to"),
        (["eval", "nowhere"], "there is no run 'nowhere'"),
    ],
)
def test_usage_errors_are_one_line_and_exit_code_2(command, message, capsys, in_a_new_folder):
    assert cli.main(command) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("fasttrpo: ")
    assert message in err
    assert list(in_a_new_folder.iterdir()) == []


def test_a_mistyped_run_names_the_nearest(in_a_new_folder, capsys):
    train()
    capsys.readouterr()
    assert cli.main(["eval", "runs/CartPole-v1-sed0"]) == 2
    assert "did you mean 'runs/CartPole-v1-seed0'" in capsys.readouterr().err
    assert cli.main(["eval", "CartPole-v1-seed0"]) == 2
    assert "did you mean 'runs/CartPole-v1-seed0'" in capsys.readouterr().err


def test_damaged_runs_are_named(in_a_new_folder, capsys):
    train("--out", "run")
    capsys.readouterr()
    (in_a_new_folder / "run" / "model.npz").write_bytes(b"")
    assert cli.main(["eval", "run"]) == 2
    assert "is not a fasttrpo model" in capsys.readouterr().err
    (in_a_new_folder / "run" / "config.json").write_text("{}")
    assert cli.main(["eval", "run"]) == 2
    assert "config.json is damaged" in capsys.readouterr().err


def test_ctrl_c_saves_the_model_and_prints_where(in_a_new_folder, capsys, monkeypatch):
    learn = TRPO.learn

    def interrupted(self, total, callback, **keywords):
        def press(record):
            callback[-1](record)
            raise KeyboardInterrupt

        return learn(self, total, press, **keywords)

    monkeypatch.setattr(TRPO, "learn", interrupted)
    assert train("--out", "run") == 130
    out = capsys.readouterr().out
    assert "interrupted at step 32; saved in run; resume with: fasttrpo train --resume run" in out
    assert TRPO.load(in_a_new_folder / "run" / "model.npz").num_timesteps == 32


def test_a_failing_environment_leaves_a_model(in_a_new_folder, capsys, monkeypatch):
    def fail(model, callback):
        raise OSError("the wheel came off")

    monkeypatch.setattr(Trainer, "iterate", fail)
    with pytest.raises(OSError, match="the wheel came off"):
        train("--out", "run")
    assert TRPO.load(in_a_new_folder / "run" / "model.npz").num_timesteps == 0
    out = capsys.readouterr().out
    assert "failed at step 0; saved in run; resume with: fasttrpo train --resume run" in out


def raising(error):
    def fail(*given):
        raise error

    return fail


KINDS = [UserError, UserTypeError, UserRuntimeError, UserImportError, UserMemoryError]


@pytest.mark.parametrize("kind", KINDS)
def test_user_errors_are_one_line_without_debug(kind, capsys, monkeypatch):
    monkeypatch.setattr(Trainer, "iterate", raising(kind("not\nfinite")))
    assert train() == 2
    assert capsys.readouterr().err == "fasttrpo: not finite\n"
    assert train("--debug") == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith("\nfasttrpo: not finite\n")


@pytest.mark.parametrize("error", [ValueError("x"), TypeError("x"), MemoryError(), OSError("x")])
def test_other_errors_have_a_traceback(error, monkeypatch):
    monkeypatch.setattr(Trainer, "iterate", raising(error))
    with pytest.raises(type(error)):
        train()


def test_errors_raised_by_the_environment_have_a_traceback(monkeypatch):
    """Even a UserError: an environment may use fasttrpo itself."""
    monkeypatch.setattr(CartPoleEnv, "step", raising(UserError("x")))
    with pytest.raises(UserError):
        train("--env-backend", "gymnasium")


@pytest.mark.parametrize(
    "command", ["train", "eval", "enjoy", "plot", "report", "embed", "selftest", "info"]
)
def test_every_command_has_debug(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    out = capsys.readouterr().out
    assert "--debug" in out
    assert "%" not in out  # argparse's escapes


@pytest.mark.parametrize("command", [["info"], ["train", "CartPole-v1"]])
def test_an_unknown_backend_is_one_line(command, capsys, monkeypatch):
    monkeypatch.setenv("FASTTRPO_BACKEND", "foo")
    assert cli.main(command) == 2
    assert capsys.readouterr().err.startswith("fasttrpo: FASTTRPO_BACKEND: unknown backend 'foo'")


def test_a_folder_that_cannot_be_created_is_one_line(in_a_new_folder, capsys):
    (in_a_new_folder / "file").write_text("in the way")
    assert train("--out", "file/run") == 2
    assert capsys.readouterr().err.startswith("fasttrpo: cannot write to 'file/run': Not a dir")


def test_help_describes_the_commands(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert "Trust Region Policy Optimization" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    assert "policy_kwargs=\"{'net_arch':[32]}\"" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["eval", "--help"])
    assert "(default: 3)" in capsys.readouterr().out


def printed_help(capsys, *command):
    with pytest.raises(SystemExit) as ended:
        cli.main([*command])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_help_fits_on_a_screen_and_help_all_has_every_option(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    common, everything = (printed_help(capsys, "train", f"--{x}") for x in ("help", "help-all"))
    assert len(common.splitlines()) <= 30
    assert max(map(len, common.splitlines())) <= 80
    assert "--seeds" in common
    assert "--preconditioner" not in common
    for option in options.OPTIONS:
        assert option.flag in everything
    assert "Settings:" in everything


def test_without_a_command_the_help_lists_all_with_an_example_each(capsys):
    out = printed_help(capsys)
    assert out == printed_help(capsys, "--help")
    for command in cli.COMMANDS:
        assert re.search(rf"^  {command}\s(.*\n)+?\s+fasttrpo {command}", out, re.MULTILINE)


def test_ctrl_c_during_the_evaluation_keeps_the_model(in_a_new_folder, capsys, monkeypatch):
    def press(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "evaluate", press)
    assert train("--out", "run") == 130
    out = capsys.readouterr().out
    assert "interrupted during the evaluation, after 64 steps; saved in run; resume with" in out
    assert TRPO.load(in_a_new_folder / "run" / "model.npz").num_timesteps == 64


# -- logs and schedules ----------------------------------------------------------------------------


def test_logs_are_written_next_to_progress_csv(in_a_new_folder, capsys):
    pytest.importorskip("tensorboard")
    assert train("--log-formats", "rows,csv, json", "--tensorboard", "--out", "run") == 0
    assert "return  " in capsys.readouterr().out
    folder = in_a_new_folder / "run"
    lines = [json.loads(line) for line in (folder / "progress.json").read_text().splitlines()]
    assert [line["time/total_timesteps"] for line in lines] == [32, 64]
    assert list(folder.glob("events.out.tfevents.*"))
    again = ("--resume", "run", "--total-timesteps", "96", "--log-formats", "json", "--no-progress")
    assert cli.main(["train", *again]) == 0
    lines = [json.loads(line) for line in (folder / "progress.json").read_text().splitlines()]
    assert [line["time/total_timesteps"] for line in lines] == [32, 64, 96]
    with open(folder / "progress.csv", newline="") as file:
        assert [row["num_timesteps"] for row in csv.DictReader(file)] == ["32", "64", "96"]


@pytest.mark.parametrize("option", [["--tensorboard"], ["--seeds", "0-1", "--tensorboard"]])
def test_a_missing_tensorboard_is_reported_before_training(
    option, in_a_new_folder, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)
    assert cli.main(["train", "CartPole-v1", *option]) == 2
    assert capsys.readouterr().err == (
        "fasttrpo: logs for TensorBoard need the package tensorboard: "
        "pip install 'fasttrpo[tensorboard]'\n"
    )
    assert list(in_a_new_folder.iterdir()) == []


def test_a_schedule_can_be_given_as_an_option(in_a_new_folder, capsys):
    assert train("--target-kl", "linear_0.02", "--out", "run") == 0
    with open(in_a_new_folder / "run" / "progress.csv", newline="") as file:
        assert [float(row["target_kl"]) for row in csv.DictReader(file)] == [0.02, 0.01]
    assert train("--target-kl", "lineer") == 2
    assert "unknown schedule of target_kl: 'lineer'; did you mean" in capsys.readouterr().err


def test_unknown_log_formats_are_one_line(capsys):
    assert train("--log-formats", "rows,tensorbord") == 2
    expected = "fasttrpo: unknown log format 'tensorbord'; did you mean 'tensorboard'?\n"
    assert capsys.readouterr().err == expected


USER_MODULE = """
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv

gymnasium.register("Own-v0", CartPoleEnv, max_episode_steps=20)
"""


def test_modules_in_the_working_folder_are_found(in_a_new_folder):
    """By the installed command, a script in another folder, and in the worker processes."""
    (in_a_new_folder / "own_module.py").write_text(USER_MODULE)
    script = in_a_new_folder / "bin" / "fasttrpo"
    script.parent.mkdir()
    script.write_text(
        "import sys\nfrom fasttrpo.cli import main\n"
        "if __name__ == '__main__':\n    sys.exit(main())\n"
    )
    home = str(Path(fasttrpo.__file__).parents[1])
    command = [sys.executable, str(script), "train", "own_module:Own-v0", *SHORT, "--seeds", "0,1"]
    env = {**os.environ, "PYTHONPATH": home}  # an empty part would be the working folder
    out = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    assert "own_module:Own-v0: 2 seeds: return mean" in out.stdout
