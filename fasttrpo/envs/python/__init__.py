"""Environments written in Python as a few small functions, compiled by Numba.

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

`NumbaEnvironment` documents each part. The functions become the C functions of a `trpo_env`
(csrc/include/trpo_env.h), so they share the batch loop, seeding, saving and checks of environments
in C. `envs/definition.py` finds those named "file.py:name". The files here, in order of use:

    environment.py    the specification, checked
    functions.py      analysis of the user's functions: parameters, helpers, identity
    randomness.py     rejects np.random and other sources of randomness in them
    elementary.py     the functions that stand for those of `math` in them
    struct.py         the struct trpo_env; its functions come from one of these two:
    jit.py, glue.py     Numba: compiled and cached on disk    (numba_types.py: types for Numba)
    interpreter.py      Python callbacks
    draws.py          the random numbers of an environment
"""
