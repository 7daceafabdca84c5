"""A simulation with masks for the tests, in C and in Python.

Each step draws a goal for every part and random bits. A choice is open if it is the goal or its bit
is set, and pays if it is the goal. Taking a forbidden choice is an error of the simulation. At step
`shut_at` (an option) of an episode the last part has no open choice; at step `odd_at` (in C) the
first choice's mask is 2.
"""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from fasttrpo.envs import NumbaEnvironment

PARTS = {"discrete": (6,), "multi_discrete": (2, 3, 4)}
BITS = 4096

SOURCE = """
#include "trpo_env.h"

enum { D = N_PARTS, A = N_CHOICES };
typedef struct state { double t, bits, goal[D]; } state;
static const int CHOICES[] = PARTS;
static const double DEFAULTS[] = {0, 0};
static const trpo_env_option OPTIONS[] = {{"shut_at", 0}, {"odd_at", 0}};

static void deal(state *s, trpo_env_random *random)
{
    for (int d = 0; d < D; d++) s->goal[d] = (int)trpo_env_uniform(random, 0, CHOICES[d]);
    s->bits = (int)trpo_env_uniform(random, 0, 4096);
}

static int is_open(const state *s, int d, int k)
{
    return k == s->goal[d] || ((int)s->bits >> (k + 3 * d)) % 2 == 1;
}

static int observe(const void *config, const void *state_at, double *obs)
{
    const state *s = state_at;
    for (int d = 0; d < D; d++)
        for (int k = 0; k < CHOICES[d]; k++) *obs++ = k == s->goal[d];
    return 0;
}

static int reset(const void *config, void *state_at, double *obs, trpo_env_random *random)
{
    ((state *)state_at)->t = 0;
    deal(state_at, random);
    return observe(config, state_at, obs);
}

static int step(const void *config, void *state_at, const double *act, double *obs, double *rew,
                uint8_t *term, trpo_env_random *random)
{
    state *s = state_at;
    *rew = 0;
    for (int d = 0; d < D; d++) {
        if (!is_open(s, d, (int)act[d])) return 7;
        *rew += act[d] == s->goal[d];
    }
    s->t++;
    deal(s, random);
    *term = trpo_env_uniform(random, 0, 1) < 0.05;
    return observe(config, s, obs);
}

static int mask(const void *config, const void *state_at, uint8_t *mask)
{
    const state *s = state_at;
    const double *at = config;
    for (int d = 0, i = 0; d < D; d++)
        for (int k = 0; k < CHOICES[d]; k++)
            mask[i++] = is_open(s, d, k) && !(d == D - 1 && at[0] > 0 && s->t == at[0]);
    if (at[1] > 0 && s->t == at[1]) mask[0] = 2;
    return FAILURE;
}

/* For the struct's changes below: a step that is always allowed, a mask that opens nothing. */
static int easy(const void *config, void *state_at, const double *act, double *obs, double *rew,
                uint8_t *term, trpo_env_random *random)
{
    const state *s = state_at;
    double open[D];
    for (int d = 0; d < D; d++) open[d] = s->goal[d];
    return step(config, state_at, open, obs, rew, term, random);
}

static int shut(const void *config, const void *state_at, uint8_t *mask) { return 0; }

static trpo_env ENV;

const trpo_env *trpo_environment(void)
{
    ENV.version = TRPO_ENV_VERSION;
    ENV.struct_size = sizeof ENV;
    ENV.name = "Masked";
    ENV.state_bytes = sizeof(state);
    ENV.obs_size = A;
    ENV.n_actions = D;
    ENV.choices = CHOICES;
    ENV.max_episode_steps = 30;
    ENV.reward_threshold = NAN;
    ENV.config = DEFAULTS;
    ENV.n_options = 2;
    ENV.options = OPTIONS;
    ENV.reset = reset;
    ENV.step = step;
    ENV.observe = observe;
    ENV.mask = mask;
    CHANGE;
    return &ENV;
}
"""


def flags(kind, change="", failure="0"):
    """Compiler flags for SOURCE."""
    parts = PARTS[kind]
    sizes = f"-DN_PARTS={len(parts)}", f"-DN_CHOICES={sum(parts)}"
    text = ",".join(map(str, parts))
    return *sizes, f"-DPARTS={{{text}}}", f"-DCHANGE={change}", f"-DFAILURE={failure}"


def one(action):
    return (action,)


def several(action):
    return action


def defined(kind):  # noqa: C901
    """The same simulation in Python."""
    parts = PARTS[kind]
    count = len(parts)
    chosen = one if count == 1 else several

    def deal(state, random):
        for d in range(count):
            state[2 + d] = random.integers(0, parts[d])
        state[1] = random.integers(0, BITS)

    def is_open(state, d, k):
        return k == int(state[2 + d]) or (int(state[1]) >> (k + 3 * d)) % 2 == 1

    def reset(state, random):
        deal(state, random)

    def step(state, action, random):
        reward, choices = 0.0, chosen(action)
        for d in range(count):
            if not is_open(state, d, choices[d]):
                raise ValueError("that is forbidden")
            reward += choices[d] == int(state[2 + d])
        state[0] += 1
        deal(state, random)
        return reward, random.uniform() < 0.05

    def observe(state, obs):
        at = 0
        for d in range(count):
            for k in range(parts[d]):
                obs[at] = k == int(state[2 + d])
                at += 1

    def mask(state, mask, options):
        at = 0
        for d in range(count):
            is_shut = d == count - 1 and options.shut_at > 0 and state[0] == options.shut_at
            for k in range(parts[d]):
                mask[at] = is_open(state, d, k) and not is_shut
                at += 1

    return NumbaEnvironment(
        name="Masked",
        state_size=2 + count,
        observation_space=Box(-np.inf, np.inf, (sum(parts),), np.float64),
        action_space=Discrete(parts[0]) if count == 1 else MultiDiscrete(parts),
        max_episode_steps=30,
        options={"shut_at": 0.0},
        reset=reset,
        step=step,
        observe=observe,
        mask=mask,
    )
