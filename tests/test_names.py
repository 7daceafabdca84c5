"""Non-UTF-8 names, and letters missing from a locale, are printed, written and read."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
from fuzz.run_mutants import check_page
from run_folders import write_run

from fasttrpo import cli
from fasttrpo.checks.printable import make_streams_safe, readable
from fasttrpo.cli.runs import as_name, as_typed
from fasttrpo.files.atomic import write_text
from fasttrpo.logs.writers import ProgressFile

NO_UTF8 = os.fsdecode(b"caf\xe9")
# The plain C locale, also without Python's workarounds for it, and streams that accept ASCII only.
PLACES = {
    "C": {"LC_ALL": "C"},
    "C without UTF-8": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ASCII streams": {"PYTHONIOENCODING": "ascii"},
    "neither": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    "strict UTF-8": {"PYTHONIOENCODING": "utf-8:strict"},
}


def fasttrpo(folder, place, *args):
    """Runs the command, which must succeed; returns its output."""
    command = [sys.executable, "-m", "fasttrpo", *args]
    path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), os.getcwd()])
    env = {**os.environ, "PYTHONPATH": path, **PLACES[place]}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert b"Error" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["caf\u00e9\u65e5", NO_UTF8], ids=["UTF-8", "no UTF-8"])
def test_a_report_is_written_for_any_name_in_any_locale(place, name, tmp_path):
    write_run(tmp_path / name / "seed0", env_id="\u00dcn\u00ef-v0")
    (write_run(tmp_path / name / "damaged", seed=1) / "config.json").write_text("{")
    out = fasttrpo(tmp_path, place, "report", name, "--out", f"{name}.html")
    assert out.startswith(b"saved caf")
    text = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
    check_page(text)
    assert "\u00dcn\u00ef-v0" in text
    assert {"caf\u00e9\u65e5": "caf\u00e9\u65e5/seed0"}.get(name, "caf\\xe9/seed0") in text


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["caf\u00e9", NO_UTF8], ids=["UTF-8", "no UTF-8"])
def test_a_run_of_any_name_trains_in_any_locale(place, name, tmp_path):
    """It is also resumed, evaluated and reported."""
    short = ["--n-envs", "2", "--n-steps", "32", "--no-progress"]
    train = ["train", "CartPole-v1", *short, "--total-timesteps", "64", "--out", name]
    assert b"saved in caf" in fasttrpo(tmp_path, place, *train, "--verbose")
    more = ["train", "--resume", name, "--total-timesteps", "128", "--no-progress"]
    assert b"resuming at step 64 of 128" in fasttrpo(tmp_path, place, *more)
    assert b"over 2" in fasttrpo(tmp_path, place, "eval", name, "--episodes", "2")
    fasttrpo(tmp_path, place, "report", name)


REGISTERS = """
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv
gymnasium.register("\u00dcn\u00ef-v0", CartPoleEnv, max_episode_steps=20)
"""


def test_a_typed_environment_id_is_understood_in_any_locale(tmp_path):
    """At any position in the command. In the plain C locale Python uses UTF-8 as elsewhere."""
    place = "C without UTF-8"
    (tmp_path / "own_module.py").write_text(REGISTERS, encoding="utf-8")
    env_id = "own_module:\u00dcn\u00ef-v0"
    short = ["--n-envs", "2", "--n-steps", "16", "--total-timesteps", "32", "--no-progress"]
    fasttrpo(tmp_path, place, "train", env_id, *short, "--out", "run")
    fasttrpo(tmp_path, place, "eval", "run", env_id, "--episodes", "1")
    fasttrpo(tmp_path, place, "eval", "run", "--episodes", "1", env_id)
    fasttrpo(tmp_path, place, "train", "--resume", "run", "--total-timesteps", "64", env_id)


def test_a_plot_of_any_name_is_written(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    write_run(tmp_path / NO_UTF8, env_id="\udce9\ud800")
    write_run(tmp_path / "other", env_id="\udce9\ud800", settings={"target_kl": 0.5})
    assert cli.main(["plot", str(tmp_path), "--out", str(tmp_path / f"{NO_UTF8}.png")]) == 0


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_printing_never_fails(encoding, errors, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding, errors)
    monkeypatch.setattr(sys, "stdout", stream)
    make_streams_safe()
    print("\u65e5 \ud800", NO_UTF8, flush=True)
    text = stream.buffer.getvalue()
    assert (b"caf\xe9" in text) == (errors == "surrogateescape")  # the original bytes
    assert b"\\ud800" in text


def test_streams_without_an_encoding_are_left_alone(monkeypatch):
    for stream in (None, io.StringIO()):
        monkeypatch.setattr(sys, "stdout", stream)
        make_streams_safe()


def test_files_are_utf8_whatever_they_contain(tmp_path):
    write_text(tmp_path / "a.txt", f"{NO_UTF8} \ud800")
    with ProgressFile(tmp_path / "b.csv") as file:
        file.write({"num_timesteps": 1, "where": NO_UTF8})
    for name in ("a.txt", "b.csv"):
        assert "caf\\udce9" in (tmp_path / name).read_text(encoding="utf-8")


def test_terminal_control_characters_are_escaped():
    assert readable("a\x1b[31m\x00\u202eb\u00e9\u65e5\n") == "a\\x1b[31m\\x00\\u202eb\u00e9\u65e5\n"
    assert readable(NO_UTF8) == "caf\\xe9"
    assert readable("\ud800") == "\\ud800"
    assert readable("\udcc3\udca9") == "\u00e9"  # as decoded in a C locale


def test_an_environment_id_does_not_depend_on_the_locale():
    """Its module is found by its name on disk, its registered id by its letters."""
    typed = "\udcc3\udca9:\udcc3\udc9cn\udcc3\udcaf-v0"
    assert as_typed(typed) == as_typed("\u00e9:\u00dcn\u00ef-v0")
    assert as_typed(typed).endswith(":\u00dcn\u00ef-v0")
    assert os.fsencode(as_name("\u00dcn\u00ef-v0")) == "\u00dcn\u00ef-v0".encode()
