"""Libraries whose simulations own memory, or end their episodes themselves; and libraries built
before either was possible.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import CC, INCLUDE, build_library, same_state, small_model
from tables import table

pytest.importorskip("fasttrpo.core._envs", reason="this installation has no compiled environments")

from fasttrpo import TRPO, cli
from fasttrpo.envs import CompiledVectorEnv, SimulationError

pytestmark = [
    pytest.mark.skipif(shutil.which(CC) is None, reason=f"there is no C compiler ({CC})"),
    pytest.mark.skipif(not INCLUDE.exists(), reason="the sources are not beside the tests"),
]

# A point that is pushed, in memory from malloc if HOLDS. At step CUT `step` sets *term to END.
# What `open`, `save` and `load` return is in environment variables of their names.
SOURCE = """
#include <stdlib.h>
#include <string.h>
#include HEADER

typedef struct point { double place, speed, steps; } point;

#if HOLDS
typedef struct state { point *at; } state;
#define POINT(s) (((const state *)(s))->at)
#else
typedef point state;
#define POINT(s) ((point *)(s))
#endif

static int code(const char *name) { return getenv(name) ? atoi(getenv(name)) : 0; }

static int observe(const void *config, const void *s, double *obs)
{
    obs[0] = POINT(s)->place;
    obs[1] = POINT(s)->speed;
    return 0;
}

static int reset(const void *config, void *s, double *obs, trpo_env_random *random)
{
    random->count++;
    POINT(s)->place = (random->seed / 7 + 31 * random->count + 7 * random->env) % 1000 / 500.0 - 1;
    POINT(s)->speed = POINT(s)->steps = 0;
    return observe(config, s, obs);
}

static int step(const void *config, void *s, const double *act, double *obs, double *rew,
                uint8_t *term, trpo_env_random *random)
{
    POINT(s)->speed = 0.9 * POINT(s)->speed + 0.1 * act[0];
    POINT(s)->place += POINT(s)->speed;
    *rew = -POINT(s)->place * POINT(s)->place;
    if (++POINT(s)->steps == CUT) *term = END;
    return observe(config, s, obs);
}

#if HOLDS
static int open(const void *config, void *s)
{
    ((state *)s)->at = calloc(1, sizeof(point));
    return code("OPEN");
}

static void let_go(const void *config, void *s) { free(((state *)s)->at); }

static int save(const void *config, const void *s, void *bytes)
{
    memcpy(bytes, POINT(s), sizeof(point));
    return code("SAVE");
}

static int load(const void *config, void *s, const void *bytes)
{
    memcpy(POINT(s), bytes, sizeof(point));
    return code("LOAD");
}
#endif

static const double LOW[] = {-1}, HIGH[] = {1};

/* What follows an older struct must not be read. */
static struct { trpo_env env; void *after[8]; } own;

const trpo_env *trpo_environment(void)
{
    memset(own.after, 1, sizeof own.after);
    own.env.version = TRPO_ENV_VERSION;
    own.env.struct_size = sizeof own.env;
    own.env.name = "Point";
    own.env.state_bytes = sizeof(state);
    own.env.obs_size = 2;
    own.env.n_actions = 1;
    own.env.act_low = LOW;
    own.env.act_high = HIGH;
    own.env.max_episode_steps = LIMIT;
    own.env.reset = reset;
    own.env.step = step;
    own.env.observe = observe;
#if HOLDS
    own.env.open = open;
    own.env.close = let_go;
    own.env.save_bytes = sizeof(point);
    own.env.save = save;
    own.env.load = load;
#endif
    return &own.env;
}
"""
OLDER = Path(__file__).with_name("c") / "trpo_env_before_open.h"


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """A function that builds a variant of the library above, once, and returns its path."""
    folder, built = tmp_path_factory.mktemp("points"), {}
    source = folder / "point.c"
    source.write_text(SOURCE)

    def build(holds=0, cut=0, end=0, limit=0, header="trpo_env.h"):
        macros = {"HOLDS": holds, "CUT": cut, "END": end, "LIMIT": limit, "HEADER": f'"{header}"'}
        key = tuple(macros.values())
        if key not in built:
            flags = [f"-D{name}={value}" for name, value in macros.items()]
            built[key] = build_library(source, folder / f"point{len(built)}.so", *flags)
        return built[key]

    return build


class Stepped(CompiledVectorEnv):
    """Stepped from Python, since a subclass may override `step`."""


def trained(env, **settings):
    return small_model(env, n_steps=20, **settings).learn(120)


# -- episodes that end themselves ------------------------------------------------------------------


@table("way", [CompiledVectorEnv, Stepped])
@table("backend", [None, "portable"])
def test_a_cut_episode_trains_as_one_at_the_limit(library, way, backend):
    cut, limited, ended = (
        trained(way(library(**variant), 3), backend=backend)
        for variant in ({"cut": 7, "end": 2}, {"limit": 7}, {"cut": 7, "end": 1})
    )
    assert same_state(cut, limited)
    assert not same_state(cut, ended)


def last_step(path, steps):
    env = CompiledVectorEnv(path, 2)
    env.reset(seed=0)
    for _ in range(steps):
        obs, _, terminated, truncated, infos = env.step(np.zeros((2, 1)))
    return obs, terminated.tolist(), truncated.tolist(), infos


@table(
    ("variant", "terminated", "truncated"),
    [
        ({"end": 2}, False, True),
        ({"end": 1}, True, False),
        ({"end": 2, "limit": 3}, False, True),
        ({"end": 2, "header": OLDER}, True, False),  # before, any number terminated
    ],
)
def test_how_an_episode_ended_is_seen_from_python(library, variant, terminated, truncated):
    obs, *ends, infos = last_step(library(cut=3, **variant), 3)
    assert ends == [[terminated] * 2, [truncated] * 2]
    assert not np.array_equal(np.stack(infos["final_obs"]), obs)


def test_libraries_built_with_the_older_header_train_the_same(library):
    old, new = (
        trained(CompiledVectorEnv(library(cut=9, end=1, header=header), 3))
        for header in (OLDER, "trpo_env.h")
    )
    assert same_state(old, new)


# -- simulations that own memory -------------------------------------------------------------------


def test_simulations_with_memory_of_their_own_train_and_resume_the_same(library):
    """As those whose state is plain bytes; a run from the command line ends bit-identical."""
    held, bare = library(holds=1, limit=11), library(limit=11)
    assert same_state(*(trained(CompiledVectorEnv(path, 3)) for path in (held, bare)))
    sizes = ["--n-envs", "3", "--n-steps", "40", "--no-progress", "--seed", "0"]
    train = ["train", held, *sizes, "--total-timesteps"]
    assert cli.main([*train, "720", "--out", "whole"]) == 0
    assert cli.main([*train, "360", "--out", "run"]) == 0
    assert cli.main(["train", "--resume", "run", "--total-timesteps", "720", "--no-progress"]) == 0
    assert same_state(*(TRPO.load(Path(each) / "model.npz") for each in ("whole", "run")))


def test_saved_simulations_continue_bit_for_bit(library):
    first, second = (CompiledVectorEnv(library(holds=1, limit=11), 3) for _ in range(2))
    first.reset(seed=1)
    for _ in range(5):
        first.step(np.ones((3, 1)))
    assert first.is_savable
    assert np.array_equal(second.load(first.save()), first.observations())
    for _ in range(15):
        one, other = (env.step(np.full((3, 1), 0.5)) for env in (first, second))
        assert all(np.array_equal(a, b) for a, b in zip(one[:4], other[:4], strict=True))
    with pytest.raises(ValueError, match="damaged, or from different environments"):
        CompiledVectorEnv(library(limit=11), 3).load(first.save())


def test_a_failing_open_is_named(library, monkeypatch, capsys):
    path = library(holds=1)
    monkeypatch.setenv("OPEN", "4")
    with pytest.raises(SimulationError, match="open returned error 4 in environment 0;"):
        CompiledVectorEnv(path, 3).reset()
    assert cli.main(["train", path, "--total-timesteps", "64", "--no-progress"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "open returned error 4 in environment 0" in err


def test_states_of_simulations_that_are_not_open_cannot_be_set(library):
    with pytest.raises(RuntimeError, match="no episode is running: call reset first"):
        CompiledVectorEnv(library(holds=1), 3).observe()


def test_a_failing_save_or_load_costs_only_the_episodes(library, monkeypatch, tmp_path):
    env = CompiledVectorEnv(library(holds=1, limit=50), 3)
    model = trained(env)
    model.save(tmp_path / "good", checkpoint=True)
    monkeypatch.setenv("SAVE", "5")
    with pytest.raises(SimulationError, match="save returned error 5 in environment 0; the env"):
        env.save()
    with pytest.warns(UserWarning, match="save returned error 5 .*; their state is not saved"):
        model.save(tmp_path / "bad", checkpoint=True)
    monkeypatch.setenv("SAVE", "0")
    assert same_state(TRPO.load(tmp_path / "bad"), model)
    monkeypatch.setenv("LOAD", "6")
    with pytest.warns(UserWarning, match="load returned error 6 .*; so they start new episodes"):
        loaded = TRPO.load(tmp_path / "good", env=env)
    assert same_state(loaded, model)
    loaded.learn(60, reset_num_timesteps=False)


def test_a_run_whose_simulations_fail_to_save_ends_and_resumes(library, monkeypatch, capsys):
    monkeypatch.setenv("SAVE", "5")
    total = ["--total-timesteps", "240", "--no-progress"]
    sizes = ["--n-envs", "3", "--n-steps", "40", "--out", "run"]
    longer = ["--resume", "run", "--total-timesteps", "480", "--no-progress"]
    for command in ([library(holds=1, limit=50), *sizes, *total], longer):
        with pytest.warns(UserWarning, match="save returned error 5"):
            assert cli.main(["train", *command]) == 0
    assert "so they start new episodes" in capsys.readouterr().out
