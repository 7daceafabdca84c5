"""The progress file and the table."""

from __future__ import annotations

import csv
from contextlib import suppress
from pathlib import Path

import pytest

from fasttrpo import SaveError
from fasttrpo.logger import Display, ProgressFile, table_header, table_row


def test_each_line_is_written_at_once(tmp_path):
    path = tmp_path / "progress.csv"
    with ProgressFile(path) as progress:
        progress.write({"iteration": 1, "kl": 0.5})
        assert path.read_text().splitlines() == ["iteration,kl", "1,0.5"]
        progress.write({"iteration": 2, "kl": 0.1 + 0.2})
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
    assert float(rows[1]["kl"]) == 0.1 + 0.2


def test_other_keys_than_the_first_record_had(tmp_path):
    with ProgressFile(tmp_path / "progress.csv") as progress:
        progress.write({"kl": 0.5})
        with pytest.raises(ValueError, match="kk"):
            progress.write({"kk": 0.5})


def test_rows_align_with_the_header(model):
    record = model.learn(64).records[-1]
    for values in (record, record | {"return_mean": float("nan"), "num_timesteps": 10**9}):
        row, header = table_row(values), table_header()
        assert len(row) == len(header)
        assert len(row.split()) == len(header.split())


def test_a_bar_that_nobody_asked_for_needs_a_terminal(model, capsys):
    model.learn(64, progress_bar=None)
    assert capsys.readouterr() == ("", "")
    with Display(10, progress_bar=True):
        pass
    assert "0.00/10.0" in capsys.readouterr().err


def test_a_file_goes_on_after_the_iterations_that_count(tmp_path):
    path = tmp_path / "progress.csv"
    with ProgressFile(path) as progress:
        for i in range(1, 5):
            progress.write({"iteration": i, "kl": i / 10})
    path.write_text(path.read_text() + "5,0")  # as a kill may leave it
    with ProgressFile(path, resumed=2) as progress:
        progress.write({"iteration": 3, "kl": 7.5})
        with pytest.raises(ValueError, match="kk"):
            progress.write({"iteration": 4, "kk": 7.5})
    assert path.read_text().splitlines() == ["iteration,kl", "1,0.1", "2,0.2", "3,7.5"]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("before", [None, "", "iteration,kl\r\n1,0.5\r\n"])
def test_nothing_is_kept_of_a_run_that_begins_anew(before, tmp_path):
    path = tmp_path / "progress.csv"
    if before is not None:
        path.write_text(before)
    with ProgressFile(path) as progress:
        progress.write({"iteration": 1, "other": 1})
    assert path.read_text().splitlines() == ["iteration,other", "1,1"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_told(tmp_path):
    (tmp_path / "progress.csv").symlink_to("/dev/full")
    progress = ProgressFile(tmp_path / "progress.csv")
    with pytest.raises(SaveError, match=r"cannot save .*progress\.csv: No space left"):
        progress.write({"iteration": 1})
    with suppress(OSError):
        progress.close()
