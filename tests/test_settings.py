"""Settings: defaults, conversions, and an error for every value out of range."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, replace

import numpy as np
import pytest
from agents import needs_extension
from tables import table

from fasttrpo.core.backend import make_agent
from fasttrpo.settings import Settings, make_settings
from fasttrpo.settings.agent import AgentSettings, resolve

OUT_OF_RANGE = [
    ("learning_rate", 0.0),
    ("n_steps", 0),
    ("n_steps", 2**24 + 1),
    ("n_steps", 2.5),
    ("n_steps", True),
    ("batch_size", 0),
    ("batch_size", 2**31),
    ("gamma", 1.5),
    ("gamma", float("nan")),
    ("cg_max_steps", 0),
    ("cg_max_steps", 2**63),
    ("cg_damping", -0.1),
    ("cg_damping", 10**400),
    ("adaptive_damping", 1),
    ("kl_reduction", "max"),
    ("kl_direction", "backward"),
    ("kl_slack", 0.99),
    ("kl_slack", float("inf")),
    ("acceptance", "never"),
    ("line_search_shrinking_factor", 1.0),
    ("line_search_max_iter", 0),
    ("line_search_max_iter", 2**31),
    ("n_critic_updates", 0),
    ("n_critic_updates", 2**31),
    ("gae_lambda", -0.1),
    ("normalize_advantage", "yes"),
    ("ent_coef", -0.1),
    ("ent_coef", float("inf")),
    ("target_kl", 0.0),
    ("target_kl", float("inf")),
    ("sub_sampling_factor", 0),
    ("sub_sampling_factor", 2**31),
    ("policy_kwargs", [64, 64]),
    ("verbose", -1),
    ("tensorboard_log", 3),
    ("seed", -1),
    ("seed", 2**64),
    ("stats_window_size", 0),
    ("max_records", 0),
    ("preset", "sb2"),
    ("n_envs", 0),
    ("n_envs", 2**24 + 1),
    ("dtype", "float16"),
    ("backend", "cuda"),
    ("env_backend", "envpool"),
    ("env_kwargs", [("g", 1.6)]),
    ("clip_actions", 1),
    ("scale_actions", None),
    ("preconditioner", "jacobi"),
    ("critic", "sgd"),
    ("normalize_observations", 1),
    ("normalize_rewards", None),
    ("n_threads", 0),
]


def agent_settings(**keywords):
    return resolve(make_settings("MlpPolicy", keywords), 3, "gaussian", (1, 1))


@table(("name", "value"), OUT_OF_RANGE)
def test_an_out_of_range_error_names_setting_value_and_range(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be .*, got ") as error:
        make_settings("MlpPolicy", {name: value})
    assert repr(value) in str(error.value)


def test_the_rows_of_a_rollout_are_limited():
    with pytest.raises(
        ValueError, match=r"n_steps \* n_envs must be an integer from 1 to 21474833"
    ):
        make_settings("MlpPolicy", {"n_steps": 2**24, "n_envs": 128})


def test_the_sizes_of_spaces_are_limited():
    with pytest.raises(ValueError, match="number of observation components must be an integer"):
        resolve(Settings(), 2**24 + 1, "gaussian", (1,))
    with pytest.raises(ValueError, match="number of action outputs must be an integer"):
        resolve(Settings(), 1, "categorical", (2**24 + 1,))


def test_every_setting_has_an_out_of_range_case():
    names = {name for name, _ in OUT_OF_RANGE}
    assert names | {"policy"} == set(asdict(Settings()))


def test_an_unknown_policy_is_rejected():
    with pytest.raises(ValueError, match="policy must be 'MlpPolicy' or 'LinearPolicy'"):
        make_settings("LstmPolicy", {})


def test_an_unknown_setting_suggests_the_nearest():
    with pytest.raises(TypeError, match="unknown setting 'gama'; did you mean 'gamma'"):
        make_settings("MlpPolicy", {"gama": 0.9})


def test_defaults_depend_on_preconditioner_and_critic():
    assert agent_settings().cg_max_steps == 3
    assert agent_settings(preconditioner=None).cg_max_steps == 15
    assert agent_settings(preconditioner=None).preconditioner == "none"
    assert agent_settings().n_critic_updates == 1
    assert agent_settings(critic="adam").n_critic_updates == 10
    assert agent_settings(cg_max_steps=7, n_critic_updates=3).cg_max_steps == 7


def test_settings_of_another_critic_warn():
    with pytest.warns(UserWarning, match="learning_rate only applies to critic='adam'"):
        make_settings("MlpPolicy", {"learning_rate": 1e-3, "batch_size": 64})
    with pytest.warns(UserWarning, match="batch_size only applies to critic='kfac' or 'adam'"):
        make_settings("MlpPolicy", {"batch_size": 64, "critic": "ridge"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resolved = agent_settings(learning_rate=1e-2, batch_size=64, critic="adam")
    assert (resolved.learning_rate, resolved.batch_size) == (1e-2, 64)


def test_numpy_numbers_become_python_numbers():
    settings = make_settings("MlpPolicy", {"n_steps": np.int64(5), "gamma": np.float32(0.5)})
    assert type(settings.n_steps) is int
    assert type(settings.gamma) is float
    json.dumps(asdict(settings))


def test_a_missing_seed_is_drawn_and_recorded():
    seeds = {make_settings("MlpPolicy", {"seed": None}).seed for _ in range(8)}
    assert len(seeds) == 8
    assert all(type(seed) is int for seed in seeds)


def test_dtype_may_be_a_numpy_type():
    assert make_settings("MlpPolicy", {"dtype": np.float64}).dtype == "float64"
    assert make_settings("MlpPolicy", {"dtype": np.dtype("float32")}).dtype == "float32"


def test_net_arch_may_be_a_list_or_a_dict():
    both = agent_settings(policy_kwargs={"net_arch": [32]})
    assert (both.policy_hidden, both.value_hidden) == ((32,), (32,))
    apart = agent_settings(policy_kwargs={"net_arch": {"pi": [16], "vf": (8, 4)}})
    assert (apart.policy_hidden, apart.value_hidden) == ((16,), (8, 4))


def test_net_arch_of_the_old_style_warns():
    old = [{"pi": [32], "vf": [16, 16]}]
    with pytest.warns(UserWarning, match=r"write net_arch=dict\(pi=\.\.\., vf=\.\.\.\)") as caught:
        settings = make_settings("MlpPolicy", {"policy_kwargs": {"net_arch": old}})
    assert settings.policy_kwargs["net_arch"] == {"pi": [32], "vf": [16, 16]}
    replace(settings, gamma=0.5)  # already converted: no second warning
    assert len(caught) == 1


@table("shared", [[64, {"pi": [32]}], [{"vf": [8]}, 8], (64, {}), [{}, {}]])
def test_net_arch_with_shared_layers_is_rejected_with_an_alternative(shared):
    with pytest.raises(ValueError, match=r"share no layers.*net_arch=dict\(pi=\[\.\.\.\], vf="):
        make_settings("MlpPolicy", {"policy_kwargs": {"net_arch": shared}})


def test_linear_policy_keeps_a_value_network():
    settings = resolve(make_settings("LinearPolicy", {}), 3, "gaussian", (1,))
    assert (settings.policy_hidden, settings.value_hidden) == ((), (64, 64))
    with pytest.raises(ValueError, match="LinearPolicy has no hidden layers"):
        make_settings("LinearPolicy", {"policy_kwargs": {"net_arch": [64]}})


def test_activation_fn_may_be_a_name_a_class_or_a_function():
    class Tanh:
        pass

    def relu(x):
        return x

    for given, name in ((Tanh, "tanh"), (relu, "relu"), ("Identity", "identity")):
        assert agent_settings(policy_kwargs={"activation_fn": given}).activation == name
    with pytest.raises(ValueError, match="activation_fn must be one of tanh, identity, relu"):
        make_settings("MlpPolicy", {"policy_kwargs": {"activation_fn": "gelu"}})


@table(
    ("kwargs", "error", "message"),
    [
        ({"net_arhc": [64]}, TypeError, "did you mean 'net_arch'"),
        ({"net_arch": {"p": [64]}}, ValueError, "net_arch: unknown name 'p'"),
        ({"net_arch": [0]}, ValueError, "net_arch pi width must be an integer from 1 to"),
        ({"net_arch": [2**24 + 1]}, ValueError, "width must be an integer from 1 to 16777216"),
        ({"net_arch": 64}, ValueError, "net_arch pi must be a list"),
        ({"ortho_init": "no"}, ValueError, "ortho_init must be True or False"),
        ({"log_std_init": float("inf")}, ValueError, "log_std_init must be a number"),
        ({"log_std_init": 21}, ValueError, "log_std_init must be a number from -20 to 20, got 21"),
        ({"log_std_min": -21}, ValueError, "log_std_min must be a number from -20 to log_std_init"),
        ({"log_std_min": 0.5}, ValueError, "to log_std_init, got 0.5"),
        ({"log_std_max": 21}, ValueError, "log_std_max must be a number from log_std_init to 20"),
        ({"log_std_max": -0.5}, ValueError, "log_std_init to 20, got -0.5"),
        ({"log_std_init": -3, "log_std_min": -2}, ValueError, "to log_std_init, got -2"),
    ],
)
def test_invalid_policy_kwargs_are_rejected(kwargs, error, message):
    with pytest.raises(error, match=message):
        make_settings("MlpPolicy", {"policy_kwargs": kwargs})


def test_adaptive_damping_must_start_above_zero():
    with pytest.raises(ValueError, match="cg_damping must be a number > 0 with adaptive_damping"):
        make_settings("MlpPolicy", {"adaptive_damping": True, "cg_damping": 0})
    assert make_settings("MlpPolicy", {"cg_damping": 0}).cg_damping == 0


def test_step_rules_reach_the_agent():
    given = dict(acceptance="kl", kl_direction="reverse", kl_slack=1.5, adaptive_damping=True)
    s = agent_settings(**given, policy_kwargs={"log_std_init": -0.5, "log_std_min": -2})
    assert {name: getattr(s, name) for name in given} == given
    assert (s.log_std_init, s.log_std_min) == (-0.5, -2.0)


@needs_extension
@table(
    ("name", "value"),
    [("kl_slack", 0.5), ("log_std_min", 0.5), ("log_std_min", -21.0), ("cg_damping", 0.0)],
)
def test_the_core_has_the_same_ranges(name, value):
    """With the same names, for callers that bypass the settings."""
    s = replace(agent_settings(), adaptive_damping=True, **{name: value})
    with pytest.raises(ValueError, match=f"^setting {name} is out of range: {value!r}$"):
        make_agent(s)


def test_ortho_init_true_is_the_default():
    given = make_settings("MlpPolicy", {"policy_kwargs": {"ortho_init": True}, "seed": 1})
    assert given == make_settings("MlpPolicy", {"seed": 1})
    assert agent_settings().ortho_init
    assert not agent_settings(policy_kwargs={"ortho_init": False}).ortho_init


@needs_extension
def test_impossible_memory_demands_fail_at_once():
    s = AgentSettings(
        obs_size=2, distribution="gaussian", parts=(1,) * 4096, policy_hidden=(2**24,)
    )
    with pytest.raises(MemoryError, match="these settings"):
        make_agent(s)
