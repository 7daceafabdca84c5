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

# A shell ignores signals for what it runs in the background, and processes inherit that: without
# this, tests of Ctrl-C and of a closed terminal would test nothing there.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Where the benchmarks are not beside the tests, there is nothing to test.
HAS_BENCH = (Path(__file__).parents[1] / "bench").exists()
collect_ignore_glob = [] if HAS_BENCH else ["test_bench*.py"]


def pytest_addoption(parser):
    parser.addoption(
        "--full-product",
        action="store_true",
        help="run every combination of parameters, not only enough for every pair",
    )


def pytest_collection_modifyitems(config, items):
    """Tests with three or more parameters run in few cases in which every pair occurs."""
    if not config.getoption("full_product", default=False):
        items[:], left_out = pairs.select(items)
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def model():
    """A small model on four CartPole environments, with nothing learnt yet."""
    return small_model()


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request):
    """The portable and the compiled float64 backend, one after the other."""
    return request.param


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every test runs in a folder of its own, so that a Python process that it starts imports the
    library that is being tested, and not the sources that happen to lie where pytest runs.
    """
    monkeypatch.chdir(tmp_path)
