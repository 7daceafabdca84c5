"""Fixtures shared by all tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from helpers import small_model


@pytest.fixture
def model():
    """A small model on four CartPole environments, with nothing learnt yet."""
    return small_model()
