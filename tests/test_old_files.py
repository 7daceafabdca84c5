"""Models and run folders from an earlier version load, act, evaluate and resume with known bits."""

import json
import os
import subprocess
import sys

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
