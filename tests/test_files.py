"""Files are written atomically, by any number of writers, and never outside their folder."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest
from helpers import same_state, small_model
from tables import table

from fasttrpo import TRPO, SaveError
from fasttrpo.cli import main
from fasttrpo.files.atomic import replacing, write_text
from fasttrpo.logs.logger import configure
from fasttrpo.logs.writers import ProgressFile

posix = pytest.mark.skipif(os.name == "nt", reason="there are no such files")


NEW_RUN = "train CartPole-v1 --n-envs 2 --n-steps 16 --total-timesteps 64 --out run"


def command(line):
    """Run one command and return its exit code."""
    return main(line.split())


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# -- several writers -------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from fasttrpo.files.atomic import replacing
for _ in range(60):
    with replacing(Path(sys.argv[1])) as file:
        for _ in range(20):
            file.write(sys.argv[2].encode() * 1000)
"""


def test_processes_can_write_the_same_path(tmp_path):
    path = tmp_path / "text"
    write_text(path, "a" * 20000)
    program = [sys.executable, "-c", WRITER, str(path)]
    writers = [subprocess.Popen([*program, letter], stderr=subprocess.PIPE) for letter in "ab"]
    while any(writer.poll() is None for writer in writers):
        text = path.read_text()
        assert (len(text), len(set(text))) == (20000, 1)
    assert [writer.communicate()[1] for writer in writers] == [b"", b""]
    assert names(tmp_path) == ["text"]


def test_threads_can_save_and_load_the_same_path(tmp_path):
    models = [small_model(seed=seed) for seed in range(2)]
    path, errors = tmp_path / "model.npz", []
    models[0].save(path)

    def repeat(call):
        try:
            for _ in range(15):
                call()
        except Exception as error:
            errors.append(error)

    calls = [lambda model=model: model.save(path) for model in models]
    calls.append(lambda: TRPO.load(path))
    threads = [threading.Thread(target=repeat, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert any(same_state(TRPO.load(path), model) for model in models)


HOLDER = """
import sys
from pathlib import Path
from fasttrpo.files.atomic import replacing
with replacing(Path(sys.argv[1])) as file:
    file.write(b"new")
    print("here", flush=True)
    sys.stdin.read()
"""


@posix
@pytest.mark.parametrize("is_killed", [False, True])
def test_leftovers_of_killed_writers_are_removed_and_those_of_live_ones_kept(is_killed, tmp_path):
    program = [sys.executable, "-c", HOLDER, str(tmp_path / "text")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(program, **pipes) as holder:
        assert holder.stdout.readline() == b"here\n"
        if is_killed:
            holder.send_signal(signal.SIGKILL)
            holder.wait()
        write_text(tmp_path / "other", "text")
        assert len(names(tmp_path)) == (1 if is_killed else 2)
        holder.stdin.close()
    if not is_killed:
        assert names(tmp_path) == ["other", "text"]
        assert (tmp_path / "text").read_text() == "new"


# -- the file --------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o444])
def test_the_mode_of_the_old_file_is_kept(mode, tmp_path):
    path = tmp_path / "text"
    path.write_text("old")
    path.chmod(mode)
    write_text(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_text() == "new"


@posix
def test_a_new_file_has_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "text", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "text").stat().st_mode) == 0o640


@posix
def test_a_name_may_be_as_long_as_the_system_allows(model, tmp_path):
    path = tmp_path / ("n" * 251 + ".npz")
    for _ in range(2):
        model.save(path)
    assert names(tmp_path) == [path.name]


@posix
def test_a_model_can_be_saved_through_a_link(model, tmp_path):
    (tmp_path / "disk").mkdir()
    link, target = tmp_path / "model.npz", tmp_path / "disk" / "model.npz"
    link.symlink_to(target)
    for _ in range(2):
        model.save(link)
        assert link.is_symlink()
        assert same_state(TRPO.load(target), model)


@posix
def test_a_pipe_is_written_to_and_not_replaced(model, tmp_path):
    path = tmp_path / "pipe.npz"
    os.mkfifo(path)
    read = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()), daemon=True)
    reader.start()
    model.save(path)
    assert path.is_fifo()
    reader.join()
    (tmp_path / "model.npz").write_bytes(read[0])
    assert same_state(TRPO.load(tmp_path / "model.npz"), model)


@pytest.mark.parametrize("is_there", [False, True])
def test_errors_before_the_replacement_say_that_the_old_file_is_intact(
    is_there, tmp_path, monkeypatch
):
    path = tmp_path / "text"
    if is_there:
        path.write_text("old")

    def fail(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(SaveError) as error:
        write_text(path, "new")
    assert ("the existing file is unchanged" in str(error.value)) == is_there
    assert names(tmp_path) == (["text"] if is_there else [])


@posix
def test_errors_after_the_replacement_say_that_the_new_file_is_in_place(tmp_path, monkeypatch):
    path, sync = tmp_path / "text", os.fsync
    path.write_text("old")

    def fail(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(SaveError, match="the new file is in place"):
        write_text(path, "new")
    assert path.read_text() == "new"


# -- nothing outside the folder --------------------------------------------------------------------


@pytest.fixture
def victim(tmp_path):
    """A file outside the folder, which must not change."""
    path = tmp_path / "victim"
    path.write_text("precious\n")
    return path


@posix
@table("plant", ["symlink_to", "hardlink_to"])
@table(("name", "file"), [("csv", "progress.csv"), ("json", "progress.json")])
@table("resumed", [0, 10])
def test_a_log_is_not_written_through_a_link(plant, name, file, resumed, victim, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    getattr(folder / file, plant)(victim)
    with closing(configure(folder, [name], resumed)) as logger:
        for height in ("height", "width"):
            logger.record(height, 1)
            logger.dump(resumed + 1)
    assert victim.read_text() == "precious\n"
    assert "width" in (folder / file).read_text()


PLANTED = ("progress.csv", "progress.json", "log.txt", "model.npz", "evaluation.json")
PLANTED += ("report.html", "plot.png")
REPLACED = ("checkpoint.npz", "config.json", *PLANTED)


@posix
def test_no_command_follows_links_out_of_a_run_folder(victim, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(NEW_RUN) == 0
    for name in PLANTED:
        Path("run", name).unlink(missing_ok=True)
        Path("run", name).symlink_to(victim)
    for name in REPLACED:
        Path("run", f".{name}.tmp").symlink_to(victim)
    on = "train --resume run --total-timesteps 128 --log-formats json,log"
    assert [command(line) for line in (on, "report run", "plot run")] == [0, 0, 0]
    assert victim.read_text() == "precious\n"
    assert not [name for name in PLANTED if Path("run", name).is_symlink()]


@posix
def test_resume_writes_tensorboard_logs_outside_the_run_only_on_request(
    tmp_path, monkeypatch, capsys
):
    pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    setting = f"--set tensorboard_log={tmp_path / 'logs'}"
    assert command(f"{NEW_RUN} {setting}") == 0
    assert names(tmp_path / "logs") == ["TRPO_1"]
    before = names(tmp_path / "logs" / "TRPO_1")
    on = "train --resume run --total-timesteps"
    assert command(f"{on} 96") == 0
    assert "--set tensorboard_log=FOLDER" in capsys.readouterr().out
    assert names(tmp_path / "logs" / "TRPO_1") == before
    assert command(f"{on} 128 {setting}") == 0
    assert len(names(tmp_path / "logs" / "TRPO_1")) > len(before)


@posix
def test_a_linked_tensorboard_folder_is_not_continued(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    assert command(f"{NEW_RUN} --set tensorboard_log=run/logs") == 0
    Path("run/logs/TRPO_1").rename("outside")
    before = names(Path("outside"))
    Path("run/logs/TRPO_1").symlink_to(tmp_path / "outside")
    assert command("train --resume run --total-timesteps 128") == 0
    assert names(Path("outside")) == before
    assert len(names(Path("run/logs/TRPO_2"))) == 1


@posix
def test_seeds_that_are_links_are_not_resumed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("mine/config.json").write_text("{}")
    Path("group").mkdir()
    Path("group/seed0").symlink_to(tmp_path / "mine")
    assert command("train --resume group") == 2
    assert "group/seed0 is a link" in capsys.readouterr().err


@posix
def test_a_report_is_not_written_to_a_pipe(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(NEW_RUN) == 0
    os.mkfifo("pipe.html")
    assert command("report run --out pipe.html") == 2
    assert "is a device or a pipe" in capsys.readouterr().err
    assert Path("pipe.html").is_fifo()


# -- files that grow -------------------------------------------------------------------------------


def test_long_texts_in_a_log_can_be_read_back(tmp_path):
    path = tmp_path / "progress.csv"
    with ProgressFile(path) as progress:
        progress.write({"num_timesteps": 1, "text": "x" * 200_000})
        progress.write({"num_timesteps": 2, "text": "", "new": 1})
    ProgressFile(path, resumed=1).close()
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize("line", ["[" * 100_000, '{"time/total_timesteps": 1' + "0" * 400 + "}"])
def test_foreign_lines_are_removed_from_a_resumed_log(line, tmp_path):
    path = tmp_path / "progress.json"
    path.write_text('{"time/total_timesteps": 5}\n' + line + "\n")
    configure(tmp_path, ["json"], resumed=10).close()
    assert path.read_text() == '{"time/total_timesteps": 5}\n'


def test_an_exception_while_writing_leaves_no_file(tmp_path):
    with suppress(KeyboardInterrupt), replacing(tmp_path / "text") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert names(tmp_path) == []
