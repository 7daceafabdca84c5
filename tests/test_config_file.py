"""`fasttrpo train --config FILE`: runs from TOML, from JSON, and from a run's own config.json."""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium
import pytest
from helpers import same_state
from tables import table

from fasttrpo import TRPO, cli, configure
from fasttrpo.cli import eval as evaluation

TOML = """
env_id = "CartPole-v1"
total_timesteps = 96.0
n_envs = 2
eval_episodes = 2
verbose = false

[settings]
n_steps = 16
gamma = 0.9
policy_kwargs = { net_arch = [8] }
"""


@pytest.fixture(autouse=True)
def few_episodes(monkeypatch):
    monkeypatch.setattr(evaluation, "EVAL_EPISODES", 3)


def train(*options):
    return cli.main(["train", "--no-progress", *options])


def config_of(folder):
    return json.loads((Path(folder) / "config.json").read_text())


def same_run(one, other):
    """Whether model, checkpoint and evaluation are bit-identical."""
    names = ("model.npz", "checkpoint.npz")
    pairs = [[TRPO.load(Path(folder) / name) for folder in (one, other)] for name in names]
    results = [(Path(folder) / "evaluation.json").read_text() for folder in (one, other)]
    return all(same_state(*pair) for pair in pairs) and results[0] == results[1]


@pytest.mark.parametrize(
    "options",
    [
        ["--set", "normalize_rewards=True", "--eval-freq", "64", "--target-kl", "linear_0.02"],
        ["--preset", "baselines", "--set", "policy_kwargs={'net_arch': [8]}", "--seed", "3"],
        ["--critic", "ridge", "--policy", "LinearPolicy", "--env-kwargs", "sutton_barto_reward=1"],
    ],
)
@pytest.mark.filterwarnings("error::UserWarning")
def test_a_runs_own_config_repeats_it_bit_for_bit(options):
    sizes = ["--n-envs", "2", "--n-steps", "32", "--total-timesteps", "128"]
    assert train("CartPole-v1", "--out", "run", *sizes, *options) == 0
    assert train("--config", "run/config.json", "--out", "again") == 0
    assert same_run("run", "again")
    assert config_of("run") == config_of("again")


def test_a_file_says_what_the_options_say():
    Path("run.toml").write_text(TOML)
    assert train("--config", "run.toml", "--out", "a") == 0
    options = ["--n-envs", "2", "--n-steps", "16", "--total-timesteps", "96"]
    more = ["--set", "gamma=0.9", "--set", "policy_kwargs={'net_arch': [8]}"]
    assert train("CartPole-v1", *options, *more, "--eval-episodes", "2", "--out", "b") == 0
    assert same_run("a", "b")
    assert config_of("a") == config_of("b")


def test_options_override_the_file():
    Path("run.toml").write_text(TOML)
    options = ["--seed", "5", "--n-envs", "1", "--total-timesteps", "32", "--set", "gamma=0.8"]
    assert train("Acrobot-v1", "--config", "run.toml", *options, "--out", "run") == 0
    config = config_of("run")
    assert (config["env_id"], config["total_timesteps"]) == ("Acrobot-v1", 32)
    changed = {name: config["settings"][name] for name in ("seed", "n_envs", "gamma", "n_steps")}
    assert changed == {"seed": 5, "n_envs": 1, "gamma": 0.8, "n_steps": 16}


def test_seeds_in_a_file_and_the_seed_of_another_run():
    """The command line's choice between --seed and --seeds replaces the file's."""
    Path("run.toml").write_text("seeds = [1, 2]\n" + TOML)
    assert train("--config", "run.toml", "--out", "group") == 0
    assert [config_of(f"group/seed{n}")["settings"]["seed"] for n in (1, 2)] == [1, 2]
    assert train("--config", "run.toml", "--seed", "2", "--out", "alone") == 0
    assert config_of("alone")["settings"]["seed"] == 2
    assert train("--config", "alone/config.json", "--seeds", "4", "--out", "more") == 0
    assert config_of("more/seed4")["settings"]["seed"] == 4


@table(
    ("name", "text", "message"),
    [
        (
            "a.toml",
            'env_id = "X"\ntotal_timestep = 3',
            "a.toml: unknown option 'total_timestep'; did",
        ),
        ("a.toml", "gama = 0.9", "unknown option 'gama'; did you mean the setting 'gamma'?"),
        ("a.toml", "gamma = 0.9", "a.toml: gamma is a setting: write it in the table settings"),
        (
            "a.toml",
            "[settings]\ngama = 0.9",
            "a.toml: unknown setting 'gama'; did you mean 'gamma'",
        ),
        ("a.toml", "[settings]\njobs = 2", "a.toml: jobs is an option: write it outside of the t"),
        ("a.toml", "[settings]\ngamma = 3", "a.toml: gamma must be a number from 0 to 1, got 3"),
        ("a.toml", 'out = "x"', "a.toml: out is for the command line: --out"),
        ("a.toml", 'seed = "x"', "a.toml: seed must be an integer, got 'x'"),
        ("a.toml", "verbose = 1", "a.toml: verbose must be true or false, got 1"),
        ("a.toml", "env_id = 3", "a.toml: env_id must be a string, got 3"),
        ("a.toml", "settings = 3", "a.toml: settings must be a table, got 3"),
        ("a.toml", "total_timesteps = 1.5", "a.toml: total_timesteps must be an integer, got 1.5"),
        ("a.toml", "eval_freq = 0", "a.toml: eval_freq must be an integer >= 1, got 0"),
        ("a.toml", "seed =", "a.toml is not TOML: Invalid value (at end of document)"),
        ("a.toml", "seed = 1", "a.toml has no env_id: add it, or name ENV_ID"),
        ("a.json", '{"seed": 1,\n}', "a.json is not JSON: "),
        ("a.json", '{"settings":' * 100_000, "a.json is not JSON: "),
        ("a.txt", "hello world", "a.txt is neither TOML nor JSON: "),
        ("a.toml", b"\xff\xfe", "a.toml is neither TOML nor JSON: it is not UTF-8"),
        ("b.toml", "", "there is no file 'a.toml'; did you mean 'b.toml'?"),
    ],
)
def test_mistakes_in_a_file_are_one_line(name, text, message, tmp_path, capsys):
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    path = "a.toml" if name == "b.toml" else name
    assert train("--config", path) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_folder_is_not_a_file(capsys):
    assert train("CartPole-v1", "--n-steps", "8", "--total-timesteps", "8", "--out", "run") == 0
    assert train("--config", "run") == 2
    assert "'run' is a folder; pass 'run/config.json'" in capsys.readouterr().err
    assert train("--resume", "run", "--config", "run/config.json") == 2
    assert "omit --config" in capsys.readouterr().err


def test_a_loggers_settings_repeat_its_run(capsys):
    for folder, env in (("named", "CartPole-v1"), ("given", gymnasium.make("CartPole-v1"))):
        model = TRPO("MlpPolicy", env, n_steps=32, seed=4, policy_kwargs={"net_arch": [8]})
        model.set_logger(configure(folder, ["csv"]))
        model.learn(64)
    assert train("--config", "named/settings.json", "--out", "run") == 0
    again = TRPO.load("run/model.npz")
    assert (again.num_timesteps, again.settings.seed, again.settings.n_steps) == (64, 4, 32)
    capsys.readouterr()
    assert train("--config", "given/settings.json", "--out", "again") == 2
    assert "a script made its environment 'CartPole-v1'" in capsys.readouterr().err
    assert train("CartPole-v1", "--config", "given/settings.json", "--out", "again") == 0


MODULE = "import pathlib\npathlib.Path('it_ran').touch()\n"


def test_code_that_a_file_names_runs_only_with_consent(capsys):
    Path("theirs.py").write_text(MODULE)
    Path("theirs.toml").write_text('env_id = "theirs.py:walk"\n')
    assert train("--config", "theirs.toml") == 2
    assert "theirs.toml: its environment 'theirs.py:walk' would run" in capsys.readouterr().err
    assert not Path("it_ran").exists()
    assert train("--config", "theirs.toml", "--trust") == 2  # it defines no environment
    assert Path("it_ran").exists()


def test_a_file_writes_no_log_outside_the_working_folder(tmp_path, capsys):
    Path("work").mkdir()
    elsewhere = tmp_path / "elsewhere"
    Path("theirs.toml").write_text(f"{TOML}tensorboard_log = {str(elsewhere)!r}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir("work")
        assert train("--config", "../theirs.toml", "--out", "run") == 0
    assert "not writing TensorBoard logs" in capsys.readouterr().out
    assert not elsewhere.exists()


@pytest.mark.filterwarnings("ignore")
def test_places_that_the_env_kwargs_of_a_file_name_need_consent(capsys):
    """Naming the environment does not consent to these, replacing them does."""
    Path("theirs.toml").write_text('env_id = "CartPole-v1"\nenv_kwargs = { a = "/x.xml" }\n')
    for named in ([], ["CartPole-v1"]):
        assert train("--config", "theirs.toml", *named) == 2
        assert "would use '/x.xml', which its env_kwargs name" in capsys.readouterr().err
    assert train("--config", "theirs.toml", "--trust") == 2
    assert "CartPole-v1 refuses --env-kwargs {'a': '/x.xml'}" in capsys.readouterr().err
    assert train("--config", "theirs.toml", "--env-kwargs", "b=1") == 2
    assert "refuses --env-kwargs {'b': 1}" in capsys.readouterr().err
