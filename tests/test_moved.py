"""Old import paths still work, and their warnings name the new ones."""

import importlib
import sys

import pytest

import fasttrpo
from fasttrpo.moved import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_an_old_module_path_gives_the_new_module(old, monkeypatch):
    monkeypatch.delitem(sys.modules, old, raising=False)
    new = importlib.import_module(MOVED[old])
    with pytest.warns(DeprecationWarning, match=f"{old} is now {MOVED[old]}") as warned:
        exec(compile(f"import {old}", "theirs.py", "exec"), {})
    assert warned[0].filename == "theirs.py"
    public = [name for name in vars(new) if not name.startswith("_")]
    assert all(getattr(sys.modules[old], name) is getattr(new, name) for name in public)


def test_an_old_attribute_gives_the_new_module(monkeypatch):
    monkeypatch.delattr(fasttrpo, "presets", raising=False)
    with pytest.warns(DeprecationWarning, match="fasttrpo.presets is now"):
        assert fasttrpo.presets is fasttrpo.tuned
