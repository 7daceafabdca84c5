"""The command line in a shell: lost output, signals, and untrusted code in run folders."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from tables import table

import fasttrpo
from fasttrpo.cli.streams import DISCARD, END, OutputEndedError, guarded

pytestmark = pytest.mark.skipif(
    os.name == "nt" or shutil.which("bash") is None, reason="bash is not installed"
)

SHORT = "--n-envs 2 --n-steps 16 --total-timesteps 64"
COMMAND = f"""#!{sys.executable} -P
import sys
from fasttrpo.cli import main
sys.exit(main())
"""


@pytest.fixture(scope="module", autouse=True)
def on_the_path(tmp_path_factory):
    """`fasttrpo` as pip installs it: a script on the PATH."""
    script = tmp_path_factory.mktemp("bin") / "fasttrpo"
    script.write_text(COMMAND)
    script.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
        yield


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def shell(script, status=0, stdin=subprocess.DEVNULL):
    """Runs a script that must exit with `status`; returns (standard output, standard error)."""
    home = str(Path(fasttrpo.__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": home, "PYTHON": sys.executable}
    env.pop("PYTHONUNBUFFERED", None)  # without it, most errors appear when Python exits
    done = subprocess.run(
        ["bash", "-c", script],
        env=env,
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


# -- output ---------------------------------------------------------------------------------------

# Shell commands that lose the output.
LOST = {
    "a closed pipe": "{command} | true; exit ${{PIPESTATUS[0]}}",
    "a full disk": "{command} > /dev/full",
    "both streams": "{command} 2>&1 | true; exit ${{PIPESTATUS[0]}}",
}


@pytest.fixture(scope="module")
def run(on_the_path, tmp_path_factory):
    """A run to report on."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    shell(f"fasttrpo train CartPole-v1 {SHORT} --out {folder}")
    return folder


@table(
    ("command", "lost"),
    [
        *[("info", lost) for lost in LOST],
        ("--help", "a closed pipe"),
        ("train --help", "a full disk"),
        ("report {run}", "a closed pipe"),
        ("eval {run}", "a full disk"),
        ("eval {run} --progress", "both streams"),
    ],
)
def test_a_command_whose_output_is_lost_ends_quietly(command, lost, run):
    command = f"fasttrpo {command.format(run=run)}"
    # The reader exits before anything is written.
    assert shell(LOST[lost].format(command=f"{{ sleep 0.1; {command}; }}"), 141) == ("", "")


def test_selftest_ends_at_its_first_lost_line():
    assert shell("fasttrpo selftest | head -n 1; exit ${PIPESTATUS[0]}", 141)[1] == ""


@table(
    ("command", "closed"),
    [
        ("info", ">&-"),
        ("plot {run}", ">&-"),
        ("report {run}", ">&- 2>&- <&-"),
        ("--version", ">&- 2>&- <&-"),
    ],
)
def test_closed_streams_count_as_lost(command, closed, run):
    if command.startswith("plot"):
        pytest.importorskip("matplotlib")
    assert shell(f"fasttrpo {command.format(run=run)} {closed}", 141) == ("", "")


CLOSED = {
    "closed streams": "{command} >&- 2>&- <&-",
    "a closed error stream": "{command} 2>&-",
}


@table(
    ("options", "lost"),
    [
        *[("--progress --verbose", lost) for lost in (*LOST, *CLOSED)],
        *[("--seeds 0 --progress", lost) for lost in ("both streams", "closed streams")],
    ],
)
def test_training_continues_without_an_output(lost, options, tmp_path):
    command = f"fasttrpo train CartPole-v1 {SHORT} --out run {options}"
    _, err = shell((LOST | CLOSED)[lost].format(command=command))
    assert "Traceback" not in err
    assert "Broken pipe" not in err
    assert list((tmp_path / "run").glob("**/evaluation.json"))


def test_failed_training_returns_its_status_even_if_output_is_lost():
    assert shell("fasttrpo train NoSuch-v1 > /dev/full 2>&1", 2) == ("", "")
    assert shell("fasttrpo train NoSuch-v1 >&- 2>&-", 2) == ("", "")


def test_output_to_closed_streams_lands_in_no_file(run):
    """The next file to be opened reuses their descriptors: nothing printed may land in it."""
    shell(f"fasttrpo report {run} --out r.html <&- >&- 2>&-", 141)
    assert Path("r.html").read_text().lstrip().startswith("<!")


def print_to_a_closed_stream(policy):
    with redirect_stdout(io.StringIO()), guarded(policy):
        sys.stdout.close()
        print("this is lost")


def test_streams_closed_by_user_code_count_as_lost():
    print_to_a_closed_stream(DISCARD)
    with pytest.raises(OutputEndedError):
        print_to_a_closed_stream(END)


# -- signals --------------------------------------------------------------------------------------

LONG = "--n-envs 10 --n-steps 200 --total-timesteps 1e9 --no-progress"
# Waits until training has records.
STARTED = (
    "until [[ $(cat run/progress.csv run/seed*/progress.csv 2>/dev/null | wc -l) -gt 2 ]]; "
    "do sleep 0.02; done"
)


@pytest.mark.parametrize("options", ["", "--seeds 0"])
def test_a_closed_terminal_saves_the_run(options):
    """The signal reaches the whole process group, twice, as when a terminal is closed."""
    script = (
        f"set -m; fasttrpo train Pendulum-v1 {LONG} --out run {options} & {STARTED}\n"
        "kill -HUP -$!; kill -HUP -$!; wait $!"
    )
    out, err = shell(script, 130)
    assert "Traceback" not in err
    assert "resume with: fasttrpo train --resume run" in out
    assert next(Path("run").glob("**/model.npz")).exists()


def test_nohup_is_respected():
    script = (
        f"trap '' HUP; set -m; fasttrpo train Pendulum-v1 {LONG} --out run & {STARTED}\n"
        "kill -HUP -$!; sleep 0.3; kill -0 $! && kill -TERM -$!; wait $!"
    )
    assert "interrupted at step" in shell(script, 130)[0]


# -- untrusted code -------------------------------------------------------------------------------

PYTHON = """
import pathlib
pathlib.Path("it_ran").touch()
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv
gymnasium.register("Own-v0", CartPoleEnv, max_episode_steps=20)
"""


@pytest.fixture
def foreign(run):
    """Another user's run folder, whose environment is a module in the working directory."""
    shutil.copytree(run, "foreign")
    Path("theirs.py").write_text(PYTHON)
    name_environment("theirs:Own-v0")


def name_environment(env_id, folder="foreign"):
    path = Path(folder) / "config.json"
    path.write_text(path.read_text().replace('"CartPole-v1"', f'"{env_id}"'))


@pytest.mark.parametrize(
    ("command", "consent"),
    [
        ("eval foreign --episodes 2", "--trust"),
        ("train --resume foreign --total-timesteps 128", "theirs:Own-v0"),
    ],
)
def test_code_named_by_a_run_folder_runs_only_with_consent(command, consent, foreign):
    out, err = shell(f"fasttrpo {command}", 2)
    assert (out, err.count("\n")) == ("", 1)
    assert "theirs.py" in err
    assert "--trust" in err
    assert not Path("it_ran").exists()
    shell(f"fasttrpo {command} {consent}")
    assert Path("it_ran").exists()


@pytest.mark.parametrize(
    "env_id",
    ["theirs.py:own", "./theirs.so", "theirs.so", "fasttrpo.envs:./theirs.py:own", "theirs.sub:X"],
)
def test_every_form_of_code_needs_consent(env_id, foreign):
    path = Path("foreign/config.json")
    path.write_text(path.read_text().replace("theirs:Own-v0", env_id))
    assert "pass --trust" in shell("fasttrpo eval foreign", 2)[1]
    assert not Path("it_ran").exists()


def test_places_that_env_kwargs_name_need_consent(foreign):
    """Also if the environment is an installed one, and whatever the model's file says."""
    path = Path("foreign/config.json")
    config = json.loads(path.read_text()) | {"env_id": "CartPole-v1"}
    places = {
        "/theirs.xml": "eval foreign",
        "theirs": "eval foreign CartPole-v1",
        "package.module": "train --resume foreign",
    }
    for place, command in places.items():
        config["settings"]["env_kwargs"] = {"sutton_barto_reward": [{"a": place}]}
        path.write_text(json.dumps(config))
        words = f"its environment 'CartPole-v1' would use '{place}', which its env_kwargs name"
        assert words in shell(f"fasttrpo {command}", 2)[1]
    assert "refuses env_kwargs=" in shell("fasttrpo eval foreign --trust", 2)[1]
    config["settings"]["env_kwargs"] = {"sutton_barto_reward": 1, "max_episode_steps": 7}
    path.write_text(json.dumps(config))
    assert "return 0.00 +- 0.00" in shell("fasttrpo eval foreign --episodes 2")[0]


def test_code_of_any_seed_needs_consent(foreign, run):
    shutil.copytree(run, "group/seed0")
    shutil.copytree("foreign", "group/seed1")
    resume = "fasttrpo train --resume group --total-timesteps 128 --no-progress"
    assert "group/seed1: its environment" in shell(resume, 2)[1]
    assert not Path("it_ran").exists()
    shell(f"{resume} --trust")
    assert Path("it_ran").exists()


def test_texts_of_a_folder_do_not_control_the_terminal(foreign):
    path = Path("foreign/config.json")
    path.write_text(path.read_text().replace("theirs:Own-v0", "\\u001b[2J\\u202e"))
    for command in ("eval foreign X-v0", "train --resume foreign X-v0", "eval foreign"):
        err = shell(f"fasttrpo {command}", 2)[1]
        assert "\\x1b[2J" in err
        assert not {"\x1b", "\u202e"} & {*err}


def test_naming_another_environment_is_not_consent(foreign):
    for command in ("eval foreign CartPole-v1", "train --resume foreign CartPole-v1"):
        assert (
            "foreign is a run of theirs:Own-v0, not CartPole-v1"
            in shell(f"fasttrpo {command}", 2)[1]
        )


@pytest.mark.parametrize("answer", ["y", "n", ""])
def test_a_terminal_asks_for_consent(answer, foreign):
    if shutil.which("script") is None:
        pytest.skip("the script command is not installed")
    command = f"{sys.executable} -P -m fasttrpo eval foreign --episodes 2"
    script = f"{{ sleep 1; echo {answer}; sleep 2; }} | script -qec '{command}' /dev/null"
    out, _ = shell(script, 0 if answer == "y" else 2)
    assert "code from '" in out
    assert "[y/N]" in out
    assert Path("it_ran").exists() == (answer == "y")


def test_the_resume_command_names_the_trusted_environment(foreign):
    script = f"""fasttrpo train theirs:Own-v0 {LONG} --out run & {STARTED}
    kill -TERM $!; wait $!"""
    out, _ = shell(f"set -m\n{script}", 130)
    assert "resume with: fasttrpo train --resume run theirs:Own-v0" in out


def test_reports_run_no_code_from_the_working_directory(foreign):
    """Nor do they look there for missing extras."""
    for name in ("matplotlib", "numba", "tensorboard", "mujoco", "tqdm", "numpy", "json"):
        Path(f"{name}.py").write_text(PYTHON)
    shell("fasttrpo report foreign && fasttrpo info")
    shell("fasttrpo plot foreign || true")
    shell('"$PYTHON" -m fasttrpo report foreign')
    assert not Path("it_ran").exists()
