"""The benchmark of parallel seeds runs."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from bench import seeds


def test_it_prints_a_row_per_contestant(capsys):
    sizes = ["--seeds", "2", "--total-timesteps", "1024", "--rounds", "1"]
    seeds.main(["CartPole-v1", *sizes])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("CartPole-v1, 1024 steps a seed, ")
    assert [line.split("|")[1].strip() for line in lines[3:]] == ["one seed", "2 seeds", "ratio"]
