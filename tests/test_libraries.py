"""Environments in shared libraries: the example, and errors in all parts of the interface."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from helpers import CC, INCLUDE, build_library, same_state, small_model
from tables import table

pytest.importorskip("fasttrpo.core._envs", reason="this installation has no compiled environments")

from fasttrpo import TRPO, cli, evaluate_policy
from fasttrpo.envs import CompiledVectorEnv, SimulationError

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "csrc/examples/balance_env.c"

pytestmark = [
    pytest.mark.skipif(shutil.which(CC) is None, reason=f"there is no C compiler ({CC})"),
    pytest.mark.skipif(not INCLUDE.exists(), reason="the sources are not beside the tests"),
]

# Counts its steps. The action chooses what happens: 0 nothing, 1 the episode ends, 2 step fails,
# 3 the observation is NaN, 4 the reward is infinite, 5 the episode ends and the reset fails.
SOURCE = """
#include <math.h>
#include "trpo_env.h"

typedef struct state { double steps, doomed; } state;

static int observe(const void *config, const void *s, double *obs)
{
    obs[0] = ((const state *)s)->steps;
    obs[1] = -obs[0];
    return 0;
}

static int reset(const void *config, void *s, double *obs, trpo_env_random *random)
{
    if (((state *)s)->doomed) return 9;
    ((state *)s)->steps = 0;
    return observe(config, s, obs);
}

static int step(const void *config, void *s, const double *act, double *obs, double *rew,
                uint8_t *term, trpo_env_random *random)
{
    const int order = (int)act[0];
    ((state *)s)->steps++;
    ((state *)s)->doomed = order == 5;
    *rew = order == 4 ? INFINITY : 1;
    *term = order == 1 || order == 5;
    observe(config, s, obs);
    if (order == 3) obs[1] = NAN;
    return order == 2 ? 7 : 0;
}

static void let_go(const void *config, void *s) {}

static const int CHOICES[] = {6};
static const double LOW[] = {0, 1}, HIGH[] = {1, 0};
static trpo_env ENV;

const trpo_env *SYMBOL(void)
{
    ENV.version = TRPO_ENV_VERSION;
    ENV.struct_size = sizeof ENV;
    ENV.name = "Fake";
    ENV.state_bytes = sizeof(state);
    ENV.obs_size = 2;
    ENV.n_actions = 1;
    ENV.choices = CHOICES;
    ENV.max_episode_steps = 50;
    ENV.reward_threshold = NAN;
    ENV.reset = reset;
    ENV.step = step;
    ENV.observe = observe;
    CHANGE;
    return RESULT;
}
"""


@pytest.fixture(scope="session")
def fake(tmp_path_factory):
    """A function that builds the library above with a change and returns its path."""
    folder = tmp_path_factory.mktemp("fakes")
    source = folder / "fake.c"
    source.write_text(SOURCE)

    def build(change="", symbol="trpo_environment", result="&ENV"):
        library = folder / f"fake{len(list(folder.iterdir()))}.so"
        return build_library(
            source, library, f"-DCHANGE={change}", f"-DSYMBOL={symbol}", f"-DRESULT={result}"
        )

    return build


@pytest.fixture(scope="session")
def intact(fake):
    """The library without a change."""
    return fake()


@pytest.fixture(scope="session")
def balance(tmp_path_factory):
    """The example, built once."""
    library = tmp_path_factory.mktemp("balance") / "balance_env.so"
    return build_library(EXAMPLE, library, "-fvisibility=hidden")


# -- valid libraries -------------------------------------------------------------------------------


def test_the_example_is_learnt(balance):
    model = TRPO("MlpPolicy", balance, n_envs=8, n_steps=250, seed=0)
    untrained, _ = evaluate_policy(model, balance, 20, seed=1)
    model.learn(40_000)
    mean, _ = evaluate_policy(model, balance, 20, seed=1)
    assert untrained < 300
    assert mean > model.get_env().reward_threshold == 450


def test_the_command_line_trains_and_evaluates_a_library(balance, capsys):
    shutil.copy(balance, "my_sim.so")
    short = ["--total-timesteps", "64", "--n-steps", "8", "--no-progress"]
    assert cli.main(["train", "./my_sim.so", *short]) == 0
    folder = Path("runs/my_sim-seed0")
    assert json.loads((folder / "config.json").read_text())["env_id"] == str(
        Path("my_sim.so").resolve()
    )
    assert cli.main(["eval", str(folder), "--episodes", "2", "--no-progress"]) == 0
    assert "fasttrpo's implementation" not in capsys.readouterr().out
    Path("my_sim.so").unlink()
    assert cli.main(["eval", str(folder), "--episodes", "2", "--no-progress"]) == 2
    assert "there is no file" in capsys.readouterr().err


def test_spaces_of_libraries_are_float64(balance, intact):
    env = CompiledVectorEnv(Path(balance), 2)
    assert env.single_observation_space == spaces.Box(-np.inf, np.inf, (3,), np.float64)
    assert env.single_action_space == spaces.Box(-1, 1, (1,), np.float64)
    assert CompiledVectorEnv(intact).single_action_space == spaces.Discrete(6)
    assert env.name == "Balance"


def test_several_choices_are_a_multidiscrete(fake):
    change = "static const int two[]={2,3};ENV.n_actions=2;ENV.choices=two"
    env = CompiledVectorEnv(fake(change), 2)
    assert env.single_action_space == spaces.MultiDiscrete([2, 3])
    env.reset()
    env.step(np.array([[0, 2], [1, 0]]))
    with pytest.raises(ValueError, match=r"3 \(component 1\) for environment 0"):
        env.step(np.array([[0, 3], [1, 0]]))


def test_several_choices_train_alike_in_c_and_from_python(fake):
    class Stepped(CompiledVectorEnv):
        """Stepped from Python, since a subclass may override `step`."""

    change = "static const int two[]={2,3};ENV.n_actions=2;ENV.choices=two"
    library = fake(change)
    models = [small_model(kind(library, 3)).learn(96) for kind in (CompiledVectorEnv, Stepped)]
    assert same_state(*models)
    assert models[0].action_space.contains(models[0].predict(np.zeros(2))[0])


def test_a_library_may_have_options(fake):
    change = (
        'static const double values[]={3};static const trpo_env_option names[]={{"size",0}};'
        "ENV.config=values;ENV.n_options=1;ENV.options=names"
    )
    library = fake(change)
    assert CompiledVectorEnv(library).envs_in_c.options == {"size": 3}
    assert CompiledVectorEnv(library, size=4).envs_in_c.options == {"size": 4}
    with pytest.raises(TypeError, match="did you mean 'size'"):
        CompiledVectorEnv(library, sise=4)


@table(
    ("names", "words"),
    [
        (r'{"\xff",0}', r"the option name b'\xff' is not UTF-8"),
        ('{"size",0},{"size",1}', "two options are named 'size'"),
        ('{"num_envs",0}', "the option name 'num_envs'"),
        ('{"reset_mask",1}', "the option name 'reset_mask'"),
    ],
)
def test_invalid_option_names_are_refused(fake, names, words):
    change = (
        f"static const double values[]={{3,4}};static const trpo_env_option names[]={{{names}}};"
        "ENV.config=values;ENV.n_options=sizeof names/sizeof *names;ENV.options=names"
    )
    library = fake(change)
    with pytest.raises(ValueError, match=re.escape(f"{library}: {words}")):
        CompiledVectorEnv(library)


def test_options_of_a_library_without_options_are_refused(intact):
    with pytest.raises(TypeError, match="it has no option 'size'"):
        CompiledVectorEnv(intact, size=4)


# -- invalid libraries -----------------------------------------------------------------------------


def test_a_missing_file_is_an_error():
    with pytest.raises(FileNotFoundError, match=r"there is no file './none\.so'"):
        TRPO("MlpPolicy", "./none.so")


def test_a_file_that_is_not_a_library_is_refused(tmp_path):
    (tmp_path / "text.so").write_text("no library")
    with pytest.raises(ValueError, match=r"text\.so cannot be loaded as a shared library"):
        CompiledVectorEnv(tmp_path / "text.so")


def test_a_library_without_the_symbol_is_refused(fake):
    with pytest.raises(ValueError, match="has no symbol 'trpo_environment': it must export"):
        CompiledVectorEnv(fake(symbol="another"))


@table(
    ("change", "words"),
    [
        ("ENV.version=2", "version 2 .* version 1: compile"),
        ("ENV.struct_size=8", "struct_size is 8, .*: compile"),
        ("ENV.state_bytes=0", "state_bytes is 0"),
        ("ENV.state_bytes=-1", "state_bytes is 18446744073709551615"),
        ("ENV.obs_size=-3", "obs_size is -3"),
        ("ENV.obs_size=1<<30", "obs_size is 1073741824"),
        ("ENV.n_actions=0", "n_actions is 0"),
        ("ENV.max_episode_steps=-1", "max_episode_steps is -1"),
        ("ENV.choices=(const int*)LOW", "choices has a number"),
        ("ENV.obs_low=LOW", "obs_low and obs_high"),
        ("ENV.obs_low=LOW,ENV.obs_high=HIGH", "obs_low and obs_high"),
        ("ENV.act_high=HIGH", "act_low and act_high"),
        ("ENV.n_options=1", "options are incomplete"),
        ("ENV.name=0", r"name is missing \(NULL\)"),
        ("ENV.reset=0", r"reset is missing \(NULL\)"),
        ("ENV.step=0", r"step is missing \(NULL\)"),
    ],
)
def test_invalid_fields_of_the_struct_are_named(fake, change, words):
    library = fake(change)
    with pytest.raises(ValueError, match=words) as error:
        TRPO("MlpPolicy", library)
    assert library in str(error.value)


def test_a_library_that_returns_null_is_refused(fake):
    with pytest.raises(ValueError, match=r"trpo_environment\(\) returned NULL"):
        CompiledVectorEnv(fake(result="0"))


def test_simulations_that_cannot_be_copied_cannot_be_saved(fake):
    env = CompiledVectorEnv(fake("ENV.close=let_go,ENV.observe=0"), 2)
    env.reset()
    with pytest.raises(ValueError, match="cannot be saved"):
        env.save()
    with pytest.raises(ValueError, match="has no `observe`"):
        env.observe()
    env.close()


# -- failing simulations ---------------------------------------------------------------------------


@table(
    ("order", "words"),
    [
        (2, "step returned error 7 in environment 1 at step 3 of its episode"),
        (3, "component 1 of the observation is nan in environment 1 at step 3 of its episode"),
        (4, "a reward is not finite in environment 1 at step 3 of its episode"),
        (5, "reset returned error 9 in environment 1;"),
    ],
)
def test_a_failing_simulation_is_named_and_the_others_are_intact(intact, order, words):
    env = CompiledVectorEnv(intact, 3)
    env.reset()
    for _ in range(2):
        env.step(np.zeros(3, int))
    last = env.states[2].copy()
    with pytest.raises(SimulationError, match=words) as error:
        env.step(np.array([0, order, 0]))
    assert "the other environments" in str(error.value)
    assert (error.value.env, error.value.step) == (1, 0 if order == 5 else 3)
    steps = env.states.view(np.float64)[:, 0]
    assert steps[0] == 3
    assert np.array_equal(env.states[2], last)
    if order != 5:
        env.reset(options={"reset_mask": np.array([False, True, False])})
        obs, *_ = env.step(np.zeros(3, int))
        np.testing.assert_array_equal(obs[:, 0], [4, 1, 3])


@pytest.fixture(scope="session")
def failing_late(tmp_path_factory):
    """A library whose episodes fail at step 20, unless they end before."""
    folder = tmp_path_factory.mktemp("late")
    source = folder / "late.c"
    source.write_text(
        SOURCE.replace("order == 2 ? 7 : 0", "((state *)s)->steps == 20 ? 7 : 0")
        .replace("order == 4", "0")
        .replace("order == 3", "0")
        .replace("order == 5", "0")
        .replace("order == 1 ||", "0 ||")
    )
    return build_library(
        source, folder / "late.so", "-DCHANGE=", "-DSYMBOL=trpo_environment", "-DRESULT=&ENV"
    )


class Stepped(CompiledVectorEnv):
    """Stepped from Python, since a subclass may override `step`."""


@pytest.mark.parametrize("kind", [CompiledVectorEnv, Stepped])
def test_a_failure_during_learn_leaves_the_model_unchanged(failing_late, kind):
    model = TRPO("MlpPolicy", kind(failing_late, 2), n_steps=15, seed=0)
    model.learn(30)
    before = model.snapshot().state
    with pytest.raises(SimulationError, match="environment 0 at step 20 of its episode") as error:
        model.learn(30, reset_num_timesteps=False)
    assert any("step at step 4" in note for note in error.value.__notes__)
    after = model.snapshot().state
    assert all(np.array_equal(before[name], after[name]) for name in before)
    model.learn(30)
    assert model.num_timesteps == 30


def test_a_failure_is_one_line_on_the_command_line(failing_late, capsys):
    short = ["--total-timesteps", "200", "--n-steps", "50", "--n-envs", "2", "--no-progress"]
    assert cli.main(["train", failing_late, *short]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "step returned error 7 in environment 0 at step 20 of its episode" in err
