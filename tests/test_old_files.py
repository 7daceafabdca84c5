"""Models and run folders from an earlier version load, act, evaluate and resume with known bits."""

import json
import os
import subprocess
import sys

import numpy as np
import old_files
import pytest

from fasttrpo.core.backend import has_extension

pytestmark = pytest.mark.skipif(not has_extension(), reason="the results need the compiled core")


def test_files_of_an_earlier_version_give_the_same_bits():
    expected = json.loads(old_files.RESULTS.read_text())
    done = subprocess.run(
        [sys.executable, old_files.__file__, "results"],
        env={**os.environ, **old_files.CLASS},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert json.loads(done.stdout) == expected


@pytest.mark.parametrize(
    ("file", "name"),
    [("06-cartpole", "CartPole-v1"), ("15-acrobot", "Acrobot-v1"), ("21-pendulum", "Pendulum-v1")],
)
def test_states_of_environments_are_saved_as_they_were(file, name):
    """Those that are plain bytes; `save` and `load` of trpo_env.h came later."""
    from fasttrpo.envs import CompiledVectorEnv

    with np.load(old_files.RESULTS.with_name(f"{file}.npz")) as saved:
        state, over = saved["run.environment"].tobytes(), saved["run.environment_over"]
    env = CompiledVectorEnv(name, len(over))
    env.load(state)
    assert env.save() == state
