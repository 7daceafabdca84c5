"""The networks' inputs: s, the observation after normalisation, or F features of it. Both networks
have the same inputs. Features make a linear policy nonlinear in s.
"""

from __future__ import annotations

from math import comb, sqrt

import numpy as np

from . import normalizer, rng

LARGEST = 1e4  # exp(-this) is 0


def n_inputs(settings):
    """F: the number of network inputs per observation."""
    if settings.features == "none":
        return settings.obs_size
    if settings.features == "polynomial":
        return comb(settings.obs_size + settings.feature_degree, settings.feature_degree) - 1
    return settings.n_features


def bandwidth(settings):
    """nu: by default sqrt(2 O), the root mean squared distance between two observations with
    components of variance 1; for rbf half of that, so that a feature is about exp(-2) and varies.
    """
    distance = sqrt(2 * settings.obs_size)
    return settings.feature_bandwidth or (
        distance if settings.features == "fourier" else distance / 2
    )


def draw(settings):
    """The features' random numbers, one float64 vector: (F, O) normals, the projection P of Fourier
    features or the RBF centres; then, for Fourier features, (F,) phases in [-pi, pi).
    """
    F, O = n_inputs(settings), settings.obs_size  # noqa: E741
    if settings.features not in ("fourier", "rbf"):
        return np.zeros(0)
    normals = rng.normals(rng.Stream(settings.seed, rng.FEATURES, 0), np.arange(F), O).ravel()
    if settings.features == "rbf":
        return normals
    word = rng.words(rng.Stream(settings.seed, rng.FEATURES, 1), np.arange(F), 1)[:, 0]
    return np.concatenate([normals, np.pi * (2 * rng.uniforms(word) - 1)])


def make_inputs(obs, state, settings):
    """Network inputs (n, F) real of observations (n, O) real."""
    if settings.normalize_observations:
        obs = normalizer.normalize(obs, state.observations)
    if settings.features == "none":
        return obs
    with np.errstate(over="ignore", invalid="ignore"):  # for huge observations; no NaN remains
        phi = FEATURES[settings.features](obs.astype(np.float64), state.features, settings)
        largest = np.finfo(obs.dtype).max
        return np.clip(phi, -largest, largest).astype(obs.dtype)


def fourier(s, drawn, settings):
    """phi_j = sin(P_j.s / nu + phase_j): Rajeswaran et al. 2017, "Towards generalization and
    simplicity in continuous control".
    """
    P, phase = np.split(drawn, [settings.n_features * settings.obs_size])
    z = s @ P.reshape(settings.n_features, -1).T / bandwidth(settings) + phase
    return np.sin(np.nan_to_num(z))


def rbf(s, drawn, settings):
    """phi_j = exp(-|s - c_j|^2 / (2 nu^2)), |s - c|^2 = |s|^2 - 2 s.c + |c|^2."""
    centre = drawn.reshape(settings.n_features, -1)
    square = np.square(s).sum(axis=1)[:, None] + np.square(centre).sum(axis=1) - 2 * s @ centre.T
    nu = bandwidth(settings)
    exponent = np.nan_to_num(square / (2 * nu * nu), nan=LARGEST)
    return np.exp(-np.clip(exponent, 0, LARGEST))


def polynomial(s, drawn, settings):
    """All monomials of degree 1 .. feature_degree, ordered by degree, then lexicographically by the
    indices i_1 <= i_2 <= ... of their factors. For O = 2: s_0, s_1, s_0^2, s_0 s_1, s_1^2.

    The monomials of degree d with first index i are s_i times those of degree d - 1 with first
    index >= i.
    """
    O = s.shape[1]  # noqa: E741
    from_first = [s[:, i:] for i in range(O)]  # monomials of one degree with first index >= i
    degrees = [s]
    for _ in range(settings.feature_degree - 1):
        blocks = [np.nan_to_num(s[:, i, None] * from_first[i]) for i in range(O)]
        from_first = [np.concatenate(blocks[i:], axis=1) for i in range(O)]
        degrees.append(from_first[0])
    return np.concatenate(degrees, axis=1)


FEATURES = {"fourier": fourier, "rbf": rbf, "polynomial": polynomial}
