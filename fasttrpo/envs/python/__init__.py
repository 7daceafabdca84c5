"""Environments written in Python: a few small functions and a spec, compiled by Numba.

    import math
    from fasttrpo import TRPO
    from fasttrpo.envs import NumbaEnvironment
    from gymnasium.spaces import Box, Discrete

    def reset(state, random):
        state[0] = random.uniform(-1.0, 1.0)

    def step(state, action, random):
        state[0] += 0.1 * (action - 1) + random.normal(0.0, 0.01)
        return -abs(state[0]), abs(state[0]) > 2

    walk = NumbaEnvironment(name="Walk", state_size=1, observation_space=Box(-2, 2, (1,)),
                            action_space=Discrete(3), max_episode_steps=100,
                            reset=reset, step=step)

    TRPO("MlpPolicy", walk, n_envs=16)
    walk.make_vec(64)                               # a Gymnasium VectorEnv
    walk.make_vec(64, compiled=False)               # the same in the interpreter: pdb, print

`NumbaEnvironment` explains each part. The functions become the C functions of a `trpo_env`
(csrc/include/trpo_env.h), so that the batch loop, seeds, saving and checks are those of
environments in C. `envs/definition.py` finds those named as "file.py:name". The files here, in
the order in which they work:

    environment.py    the spec, checked
    functions.py      the user's functions taken apart: parameters, helpers, what identifies them
    randomness.py     np.random and the like in them, refused
    struct.py         the struct trpo_env, of the functions by either of
    jit.py, glue.py     Numba: compiled, kept on disk         (numba_types.py: what Numba must know)
    interpreter.py      Python, by callbacks
    draws.py          the numbers that an environment draws
"""
