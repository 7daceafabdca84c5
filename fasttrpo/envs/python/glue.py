"""The source of the C functions that trpo_env.h declares, which call the user's functions.

Numba only caches functions in a file; this text is that file (jit.py). In it, `user_reset`,
`user_step`, `user_observe` and `user_mask` are the user's compiled functions.
"""

from __future__ import annotations

from typing import Any

TEMPLATE = '''\
"""Written by fasttrpo: the C functions of the environment {name}. Safe to delete."""


def reset(config, state_at, obs, words):
    state = carray(state_at, ({state_size},))
    for i in range({state_size}):
        state[i] = 0.0
    for i in range({obs_size}):
        obs[i] = nan
    code, _ = attempt(user_reset, state_at, ({reset},))
    return code if code != 0 else observe(config, state_at, obs)


def step(config, state_at, act, obs, reward_at, terminated_at, words):
    state = carray(state_at, ({state_size},))
    code, result = attempt(user_step, state_at, ({step},))
    if code != 0:
        return code
    reward_at[0] = result[0]
    terminated_at[0] = how_it_ended(result)
    return observe(config, state_at, obs)


def observe(config, state_at, obs_at):
    state = as_read_only(carray(state_at, ({state_size},)))
    obs = carray(obs_at, ({obs_size},))
    code, _ = attempt(user_observe, state_at, ({observe},))
    return code
'''

# For environments with masks, which are all False when C calls this.
MASK = """

def mask(config, state_at, mask_at):
    state = as_read_only(carray(state_at, ({state_size},)))
    mask = carray(mask_at, ({mask_size},))
    code, _ = attempt(user_mask, state_at, ({mask},))
    return code
"""


def source(env: Any, parameters: dict[str, tuple[str, ...]]) -> str:
    """The text of the file for an environment. parameters: those of each function."""
    values = {
        "state": "state",
        "obs": "obs",
        "mask": "mask",
        "action": action(env.choices, env.n_actions),
        "random": "as_random(words)",
        "options": f"Options({''.join(f'config[{i}], ' for i in range(len(env.options)))})",
    }
    calls = {role: ", ".join(values[n] for n in names) for role, names in parameters.items()}
    sizes = {"state_size": env.state_size, "obs_size": env.obs_size}
    sizes["mask_size"] = sum(env.choices or ())
    template = TEMPLATE + (MASK if "mask" in parameters else "")
    return template.format(name=repr(env.name)[1:-1].replace('"', "'"), **sizes, **calls)


def action(choices: tuple[int, ...] | None, n_actions: int) -> str:
    """An int for Discrete, ints for MultiDiscrete, an array (D,) for Box."""
    if choices is None:
        return f"as_read_only(carray(act, ({n_actions},)))"
    if len(choices) == 1:
        return "int(act[0])"
    return f"({' '.join(f'int(act[{i}]),' for i in range(len(choices)))})"
