"""Fixtures shared by all tests."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import pairs
from agents import IMPLEMENTATIONS
from helpers import small_model

# Shells ignore signals in background jobs, and child processes inherit that. Without this, tests of
# Ctrl-C and of a closed terminal would test nothing there.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Without the benchmarks (in a source distribution) there is nothing to test.
HAS_BENCH = (Path(__file__).parents[1] / "bench").exists()
collect_ignore_glob = [] if HAS_BENCH else ["test_bench*.py"]


def pytest_addoption(parser):
    parser.addoption(
        "--full-product",
        action="store_true",
        help="run every combination of parameters, not only enough to cover every pair",
    )


def pytest_collection_modifyitems(config, items):
    """Reduces tests with three or more parameters to few cases that cover every pair of values."""
    if not config.getoption("full_product", default=False):
        items[:], left_out = pairs.select(items)
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def model():
    """A small untrained model on four CartPole environments."""
    return small_model()


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request):
    """The portable and the compiled float64 backend."""
    return request.param


@pytest.fixture(autouse=True)
def own_working_directory(tmp_path, monkeypatch):
    """Runs every test in its own folder, so that Python processes started by a test import the
    installed library and not the sources in the directory where pytest runs.
    """
    monkeypatch.chdir(tmp_path)
