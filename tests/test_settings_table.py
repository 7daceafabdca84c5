"""The core's table of settings: generated files are current, and its rows make valid checks."""

from __future__ import annotations

from dataclasses import fields
from math import inf

import pytest
from agents import needs_extension
from make_settings import KEYWORDS, REFERENCE, TABLE, keywords_text, reference_text, table_text

from fasttrpo.settings import Settings, change, sb3_arguments
from fasttrpo.settings.agent import AgentSettings
from fasttrpo.settings.keywords import Keywords, Overrides
from fasttrpo.settings.row import Row
from fasttrpo.settings.table import ROWS

NO_EFFECT = {name: values[0] for name, (values, _) in sb3_arguments.KEYWORDS.items()}
REGENERATE = "run `python -m tests.make_settings`"


@needs_extension
def test_the_python_table_equals_the_table_of_the_core():
    from fasttrpo.core import _core32, _core64

    rows = _core64.settings_table()
    assert rows == _core32.settings_table()
    assert TABLE.read_text(encoding="utf-8") == table_text(rows), REGENERATE


def test_the_keywords_for_type_checkers_are_current():
    assert KEYWORDS.read_text(encoding="utf-8") == keywords_text(), REGENERATE


def test_a_type_checker_accepts_what_load_accepts():
    settings = Settings()

    def is_accepted(name):
        try:
            return change(settings, {name: getattr(settings, name)}) == settings
        except TypeError:
            return False

    accepted = {each.name for each in fields(Settings) if is_accepted(each.name)}
    assert accepted == set(Overrides.__annotations__)


def test_the_other_keywords_that_a_type_checker_accepts_have_no_effect():
    others = set(Keywords.__annotations__) - {each.name for each in fields(Settings)}
    assert sb3_arguments.drop_ignored(dict.fromkeys(others, "cpu") | NO_EFFECT) == {}
    assert others == {*NO_EFFECT, "device", "sde_sample_freq"}


@pytest.mark.skipif(not REFERENCE.exists(), reason="the docs are not beside the tests")
def test_the_reference_is_current():
    assert REFERENCE.read_text(encoding="utf-8") == reference_text(), REGENERATE


def test_every_default_is_valid():
    for row in ROWS.values():
        if row.default is not None and row.type != "sizes":
            assert row.check(row.name, row.default) == row.default


def test_settings_have_the_defaults_of_the_core():
    """Except those that are None because their default depends on others."""
    own = {each.name: each.default for each in fields(Settings) if each.name in ROWS}
    resolved = {"seed", "learning_rate", "batch_size", "cg_max_steps", "n_critic_updates"}
    assert {n: v for n, v in own.items() if n not in resolved} == {
        n: ROWS[n].default for n in own if n not in resolved
    }
    assert {each.name for each in fields(AgentSettings)} == set(ROWS) | {"n_threads"}


@pytest.mark.parametrize(
    ("bounds", "legal", "inside", "outside"),
    [
        ((0, 1, False, False), "a number from 0 to 1", (0, 1), (-0.1, 1.1)),
        ((0, 1, True, True), "a number between 0 and 1", (0.5,), (0, 1)),
        ((0, 1, False, True), "a number >= 0 and < 1", (0,), (1,)),
        ((0, 1, True, False), "a number > 0 and <= 1", (1,), (0,)),
        ((0, inf, True, True), "a number > 0", (1e300,), (0, inf, float("nan"))),
        ((1, inf, False, True), "a number >= 1", (1,), (0.99, inf)),
    ],
)
def test_a_range_makes_a_check_with_a_message(bounds, legal, inside, outside):
    check = Row("x", "real", None, *bounds, (), "a number").check
    assert [check("x", value) for value in inside] == list(inside)
    for value in outside:
        with pytest.raises(ValueError, match=f"^x must be {legal}, got {value!r}$"):
            check("x", value)
