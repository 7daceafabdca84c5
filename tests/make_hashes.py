"""Hashes of 24 configurations after five iterations, which a refactoring must not change.

    python tests/make_hashes.py > before.json     # repeat after the change and compare the files

The configurations cover every pair of policy, distribution, critic and preconditioner, and each
other setting that changes bits. There are three classes: the compiled core with fused multiply-add,
the same in portable C (baseline), and the portable twin. Hashes of one class do not depend on the
number of threads. Those of the twin depend on NumPy's build and the machine, so compare them on one
machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import warnings
from itertools import cycle

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from space_envs import Identity

from fasttrpo import TRPO


class Masked(Identity):
    """Closes one choice at each step, never the best one."""

    def reset(self, *, seed=None, options=None):
        obs, _ = super().reset(seed=seed)
        return obs, self._info()

    def step(self, action):
        return *super().step(action)[:4], self._info()

    def _info(self):
        return {"action_mask": np.arange(5) != (self.goal + 1) % 5}


CLASSES = {
    "fused": {},
    "baseline": {"FASTTRPO_INSTRUCTION_SET": "baseline"},
    "twin": {"FASTTRPO_BACKEND": "portable"},
}
ENVIRONMENTS = {
    "gaussian": lambda: Identity(Box(-1, 1, (3,))),
    "categorical": lambda: Identity(Discrete(5)),
    "categoricals": lambda: Identity(MultiDiscrete([3, 2, 4])),
    "masked": lambda: Masked(Discrete(5)),
    "bernoulli": lambda: Identity(MultiBinary(4)),
    "pendulum": lambda: "Pendulum-v1",
    "cartpole": lambda: "CartPole-v1",
    "acrobot": lambda: "Acrobot-v1",
}
POLICIES = (
    ("MlpPolicy", {"net_arch": [16, 16]}),
    ("LinearPolicy", {"net_arch": {"vf": [8]}}),
    ("MlpPolicy", {"net_arch": {"pi": [8, 8, 8], "vf": [12]}, "activation_fn": "relu"}),
    ("LinearPolicy", {"features": "fourier", "n_features": 12}),
    ("MlpPolicy", {"net_arch": [16], "log_std_init": -1.0}),
    ("LinearPolicy", {"features": "rbf", "n_features": 10}),
    ("LinearPolicy", {"features": "polynomial"}),
)
CRITICS = ("kfac", "adam", "gauss_newton", "ridge")
OTHERS = (
    {},
    {"normalize_observations": True},
    {"normalize_rewards": True, "ent_coef": 0.01},
    {"adaptive_damping": True, "normalize_observations": True},
    {"kl_direction": "reverse", "kl_slack": 1.5},
    {"acceptance": "always", "target_kl": 1e-4},
    {"sub_sampling_factor": 2, "kl_reduction": "mean"},
    {"acceptance": "kl", "gamma": 0.9, "gae_lambda": 0.8, "cg_damping": 0.01},
    {"target_kl": "linear_0.02", "n_critic_updates": 2},
)


def configurations():
    """24 settings of `TRPO`, by name."""
    kinds, policies, others = cycle(ENVIRONMENTS), cycle(POLICIES), cycle(OTHERS)
    for number in range(24):
        kind, (policy, network) = next(kinds), next(policies)
        settings = {
            "policy_kwargs": network,
            "critic": CRITICS[(number + number // 8) % 4],
            "preconditioner": ("kfac", None)[(number // 3) % 2],
            "dtype": ("float32", "float64")[(number // 5) % 2],
            **next(others),
        }
        yield f"{number:02d}-{kind}", kind, policy, settings


def hash_of_training(kind, policy, settings):
    """A hash of the model's state after five iterations."""
    env = ENVIRONMENTS[kind]()
    n_envs = {"n_envs": 3} if isinstance(env, str) else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = TRPO(policy, env, n_steps=48, seed=7, **n_envs, **settings)
        model.learn(5 * 48 * n_envs.get("n_envs", 1))
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    with np.load(file) as saved:
        return digest({name: saved[name] for name in saved.files if name != "header"})


def digest(arrays):
    """One hash of named arrays, in order of their names."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        total.update(name.encode())
        total.update(np.ascontiguousarray(arrays[name]).tobytes())
    return total.hexdigest()[:24]


def main():
    """Prints the hashes of this process's class, or of all classes if none is set."""
    if "FASTTRPO_HASHES" in os.environ:
        print(json.dumps({name: hash_of_training(*rest) for name, *rest in configurations()}))
        return
    result = {}
    for name, variables in CLASSES.items():
        environment = {**os.environ, "FASTTRPO_HASHES": name, **variables}
        done = subprocess.run(
            [sys.executable, __file__],
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        result[name] = json.loads(done.stdout)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
