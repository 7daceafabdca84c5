"""By default, K-FAC is used unless its estimated cost is too high."""

from __future__ import annotations

import warnings

import pytest
from tables import table

from fasttrpo.settings.cost import affordable
from fasttrpo.settings.user import make_settings


def chosen(obs, hidden, n_outputs, given=(), **keywords):
    settings = make_settings(
        "MlpPolicy",
        {"policy_kwargs": {"net_arch": hidden}, **keywords, **dict.fromkeys(given, "kfac")},
    )
    return chosen_of(settings, obs, n_outputs, given)


def chosen_of(settings, obs, n_outputs, given=()):
    after = affordable(settings, given, obs, n_outputs)
    return after.preconditioner, after.critic


@table(
    ("obs", "hidden", "n_outputs", "n_steps"),
    [
        (3, [64, 64], 1, 2048),
        (17, [256, 256], 6, 2048),
        (17, [512, 512], 6, 2048),
        (348, [256, 256], 17, 2048),
        (784, [64, 64], 10, 2048),
        (17, [64, 64], 6, 16),
        (17, [256, 256], 6, 64),
    ],
)
def test_usual_sizes_use_kfac(obs, hidden, n_outputs, n_steps):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chosen(obs, hidden, n_outputs, n_steps=n_steps) == ("kfac", "kfac")


@table(
    ("obs", "hidden", "n_outputs", "expected"),
    [
        (3, [2048, 2048], 1, ("none", "adam")),
        (20_000, [64, 64], 4, ("none", "adam")),
        (4, [64, 64], 3000, ("none", "kfac")),
        (4, {"pi": [64], "vf": [2048, 2048]}, 2, ("kfac", "adam")),
    ],
)
def test_large_layers_fall_back_with_one_warning(obs, hidden, n_outputs, expected):
    with pytest.warns(UserWarning, match="instead of 'kfac', which would cost more") as warned:
        assert chosen(obs, hidden, n_outputs) == expected
    assert len(warned) == 1


@pytest.mark.parametrize(
    "features",
    [
        {"features": "polynomial"},  # 1,325 of 50 components
        {"features": "fourier", "n_features": 2000, "feature_bandwidth": 5.0},
    ],
)
def test_many_features_fall_back_with_a_warning(features):
    settings = make_settings("LinearPolicy", {"policy_kwargs": features})
    with pytest.warns(UserWarning, match="instead of 'kfac', which would cost more"):
        assert chosen_of(settings, 50, 1) == ("none", "adam")


def test_usual_features_use_kfac():
    settings = make_settings("LinearPolicy", {"policy_kwargs": {"features": "polynomial"}})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chosen_of(settings, 17, 6) == ("kfac", "kfac")


def test_explicit_settings_are_kept():
    given = ("preconditioner", "critic")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chosen(3, [2048, 2048], 1, given) == ("kfac", "kfac")
    with pytest.warns(UserWarning, match="^critic='adam' instead"):
        assert chosen(3, [2048, 2048], 1, ("preconditioner",)) == ("kfac", "adam")
