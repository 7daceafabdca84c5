"""The example that trains in MuJoCo through its C API."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

import pytest
from c_objects import CC, run
from examples import build, compile_library

mujoco = pytest.importorskip("mujoco")
pytest.importorskip("gymnasium")

pytestmark = pytest.mark.skipif(shutil.which(CC) is None, reason=f"there is no C compiler ({CC})")


def test_the_example_in_c_learns_to_run(tmp_path_factory, tmp_path):
    packages = sysconfig.get_path("purelib")
    if not Path(mujoco.__file__).is_relative_to(packages):
        pytest.skip("MuJoCo is not in this environment's site-packages")
    program = build("embed_mujoco.c", compile_library(tmp_path_factory), tmp_path, P=packages)
    model = f"{packages}/gymnasium/envs/mujoco/assets/half_cheetah.xml"
    returns = [float(line.split()[-1]) for line in run([str(program), model, "24"]).splitlines()]
    assert len(returns) == 3  # episodes of 1,000 steps in 24 rollouts of 125
    assert returns[-1] > 400
