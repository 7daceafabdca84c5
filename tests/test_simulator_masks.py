"""Masks of simulations in C and of compiled ones in Python, in acting and learning."""

from __future__ import annotations

import shutil

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from helpers import CC, INCLUDE, build_library, insides, same_state, small_model
from masked_envs import PARTS, SOURCE, defined, flags
from pairs import pairwise
from tables import table

pytest.importorskip("fasttrpo.core._envs", reason="this installation has no compiled environments")

from fasttrpo import TRPO, evaluate_policy
from fasttrpo.callbacks import BaseCallback
from fasttrpo.envs import CompiledVectorEnv, SimulationError
from fasttrpo.stream.stream import Stream

every_kind = pytest.mark.parametrize("kind", PARTS)
every_source = pytest.mark.parametrize("source", ["library", "numba"])


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """Always compiles; one cache for the whole test run."""
    monkeypatch.delenv("FASTTRPO_NUMBA", raising=False)
    monkeypatch.setenv("FASTTRPO_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "compiled"))


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """Builds the simulation in C with a change; returns its path."""
    if shutil.which(CC) is None or not INCLUDE.exists():
        pytest.skip("no C compiler, or no sources beside the tests")
    folder, built = tmp_path_factory.mktemp("masked"), {}

    def build(kind, change="", failure="0"):
        key = (kind, change, failure)
        if key not in built:
            source = folder / "masked.c"
            source.write_text(SOURCE)
            built[key] = build_library(source, folder / f"masked{len(built)}.so", *flags(*key))
        return built[key]

    return build


@pytest.fixture
def env_of(library):
    """TRPO's env argument, by source ("library" or "numba") and kind of actions."""

    def find(source, kind):
        if source == "library":
            return library(kind)
        pytest.importorskip("numba")
        return defined(kind)

    return find


class Stepped(CompiledVectorEnv):
    """Stepped from Python, row by row, since a subclass might override `step`."""


class ByInfos(CompiledVectorEnv):
    """Has masks in the infos, as Gymnasium's environments do, and no method."""

    @property
    def action_masks(self):
        raise AttributeError("only in the infos")

    def reset(self, **keywords):
        obs, infos = super().reset(**keywords)
        return obs, infos | {"action_mask": self.envs_in_c.mask.copy()}

    def step(self, actions):
        *rest, infos = super().step(actions)
        return *rest, infos | {"action_mask": self.envs_in_c.mask.copy()}


def trained(env, **keywords):
    model = small_model(env, **{"n_steps": 40, "n_envs": 1, **keywords})
    return model.learn(3 * 40 * env.num_envs)


def learner(env, **keywords):
    net = {"policy_kwargs": {"net_arch": [32]}, "seed": 0}
    return TRPO(
        "MlpPolicy", env, n_steps=64, target_kl=0.1, gamma=0.0, gae_lambda=0.0, **net, **keywords
    )


# -- the same rows --------------------------------------------------------------------------------


@every_kind
@every_source
@table("dtype", ["float32", "float64"])
def test_rows_collected_in_c_equal_those_stepped_from_python(kind, source, dtype, env_of):
    env = env_of(source, kind)
    ways = (CompiledVectorEnv, Stepped, ByInfos)
    model, stepped, by_infos = (trained(way(env, 5), dtype=dtype) for way in ways)
    assert [insides(m).stream.steps_in_c for m in (model, stepped, by_infos)] == [
        True,
        False,
        False,
    ]
    assert same_state(model, stepped)
    assert same_state(model, by_infos)
    np.testing.assert_array_equal(insides(model).stream.masks, insides(stepped).stream.masks)


@table("backend", [None, "portable"])
@table("mode", list(AutoresetMode), ids=lambda mode: mode.value)
def test_rows_are_equal_under_every_autoreset_mode(mode, backend, env_of):
    env = env_of("library", "multi_discrete")
    ways = [way(env, 5, autoreset_mode=mode) for way in (CompiledVectorEnv, Stepped, ByInfos)]
    model, stepped, by_infos = (trained(way, backend=backend) for way in ways)
    assert model.records[-1]["episodes"] > 5
    assert same_state(model, stepped)
    assert same_state(model, by_infos)


@every_kind
def test_masks_written_in_python_equal_those_in_c(kind, env_of):
    pytest.importorskip("numba")
    env = defined(kind)
    ours, interpreted = (env.make_vec(5, compiled=compiled) for compiled in (True, False))
    in_c = CompiledVectorEnv(env_of("library", kind), 5)
    for each in (ours, interpreted, in_c):
        each.reset(seed=3)
    for _ in range(60):
        masks = [each.action_masks() for each in (ours, interpreted, in_c)]
        assert masks[0].dtype == bool
        assert masks[0].shape == (5, sum(PARTS[kind]))
        assert not masks[0].all()
        np.testing.assert_array_equal(masks[0], masks[1])
        np.testing.assert_array_equal(masks[0], masks[2])
        goals = first_open(masks[0], kind)
        for each in (ours, interpreted, in_c):
            each.step(goals)
    assert same_state(trained(ours), trained(in_c))
    assert same_state(trained(env.make_vec(5, compiled=False)), trained(env.make_vec(5)))


def first_open(masks, kind):
    """The first open choice of each part, as an action of the environment."""
    split = np.split(masks, np.cumsum(PARTS[kind])[:-1], axis=1)
    choices = np.stack([part.argmax(axis=1) for part in split], axis=1)
    return choices[:, 0] if kind == "discrete" else choices


def test_the_number_of_threads_changes_no_bit_with_masks(env_of):
    env = env_of("library", "multi_discrete")
    models = [trained(CompiledVectorEnv(env, 70), n_threads=n) for n in (1, 2, 3, 16)]
    assert all(same_state(model, models[0]) for model in models[1:])


class EachStep(BaseCallback):
    """Overrides `_on_step`, so Python steps the environments."""

    def _on_step(self):
        return True


def test_collection_in_c_and_in_python_may_alternate(env_of):
    """Where one stops, the other continues with the right masks."""
    env = env_of("library", "discrete")
    models = [small_model(way(env, 4), n_steps=24) for way in (CompiledVectorEnv, Stepped)]
    for model in models:
        for callback in (None, EachStep(), None):
            model.learn(192, callback, reset_num_timesteps=False)
    assert same_state(*models)


@table(
    ("backend", "way", "mode"),
    pairwise([None, "portable"], [CompiledVectorEnv, Stepped], list(AutoresetMode)),
)
def test_a_resumed_masked_run_equals_the_uninterrupted_one(backend, way, mode, env_of, tmp_path):
    def make():
        return way(env_of("library", "multi_discrete"), 3, autoreset_mode=mode)

    uninterrupted = small_model(make(), n_steps=40, backend=backend)

    def save(record):
        uninterrupted.save(tmp_path / f"{record['iteration']}", checkpoint=True)

    uninterrupted.learn(480, save)
    assert len(uninterrupted.records) >= 4
    for done in range(1, 4):
        resumed = TRPO.load(tmp_path / f"{done}", env=make())
        rest = uninterrupted.num_timesteps - resumed.num_timesteps
        resumed.learn(rest, reset_num_timesteps=False)
        assert same_state(uninterrupted, resumed)


# -- the effect of masks --------------------------------------------------------------------------


@every_kind
@every_source
def test_forbidden_actions_are_never_taken(kind, source, env_of):
    """100,000 steps in a simulation that fails at the first forbidden action."""
    env = env_of(source, kind)
    model = TRPO("MlpPolicy", env, n_envs=50, n_steps=100, policy_kwargs={"net_arch": [8]}, seed=0)
    assert insides(model).stream.steps_in_c
    assert model.learn(100_000).num_timesteps == 100_000


def test_without_masks_forbidden_actions_are_taken(library):
    env = library("discrete", "ENV.mask=0")
    with pytest.raises(SimulationError, match="step returned error 7"):
        trained(CompiledVectorEnv(env, 5))


@every_kind
@every_source
def test_masked_models_learn(kind, source, env_of):
    env = env_of(source, kind)
    model = learner(env, n_envs=8)
    one_step = {"env": CompiledVectorEnv(env, 8, max_episode_steps=1), "seed": 1}
    before, _ = evaluate_policy(model, n_eval_episodes=400, deterministic=False, **one_step)
    model.learn(16_384)
    after, _ = evaluate_policy(model, n_eval_episodes=400, **one_step)
    n_parts = len(PARTS[kind])
    assert before < 0.75 * n_parts
    assert after > 0.95 * n_parts


@table("backend", [None, "portable"])
@table("deterministic", [True, False])
def test_evaluation_follows_masks_with_either_backend(deterministic, backend, env_of):
    """The simulation fails at a forbidden action."""
    env = env_of("library", "multi_discrete")
    model = small_model(CompiledVectorEnv(env, 4), backend=backend).learn(128)
    evaluate_policy(model, env, 20, deterministic=deterministic)


@every_source
def test_all_choices_are_open_after_an_episode_ends(source, env_of):
    env = CompiledVectorEnv(env_of(source, "discrete"), 2, autoreset_mode="NextStep")
    env.reset(seed=0)
    ends = 0
    for _ in range(100):
        _, _, term, trunc, _ = env.step(first_open(env.action_masks(), "discrete"))
        over = term | trunc
        ends += over.sum()
        np.testing.assert_array_equal(env.action_masks().all(axis=1)[over], True)
    assert ends > 5


# -- without masks --------------------------------------------------------------------------------


def test_environments_without_masks_have_no_method(library):
    for source in ("CartPole-v1", library("discrete", "ENV.mask=0")):
        env = CompiledVectorEnv(source)
        assert env.envs_in_c.mask is None
        assert not hasattr(env, "action_masks")


def test_wrappers_do_not_hide_masks(library):
    stream = Stream(gymnasium.vector.VectorWrapper(CompiledVectorEnv(library("discrete"), 3)))
    stream.reset(seed=0)
    np.testing.assert_array_equal(stream.masks, stream.env.unwrapped.action_masks())


def test_libraries_built_before_masks_existed_work(library):
    """Their struct ends where `mask` begins; what follows must not be read."""
    older = "ENV.struct_size=offsetof(trpo_env,mask);ENV.step=easy;ENV.mask=(void*)1"
    newer = "ENV.step=easy;ENV.mask=0"
    envs = [CompiledVectorEnv(library("discrete", change), 3) for change in (older, newer)]
    models = [trained(env) for env in envs]
    assert same_state(*models)
    assert not hasattr(models[0].get_env(), "action_masks")


# -- errors ---------------------------------------------------------------------------------------


@table("backend", [None, "portable"])
@table("way", [CompiledVectorEnv, Stepped])
@every_source
def test_a_mask_that_forbids_everything_raises_and_changes_nothing(source, way, backend, env_of):
    env = env_of(source, "multi_discrete")
    model = small_model(way(env, 3), n_steps=20, backend=backend).learn(120)
    before = model.snapshot().state
    model.set_env(way(env, 3, shut_at=4))
    words = r"the mask forbids all 4 choices of component 2 in environment \d at step 4 of its"
    with pytest.raises(SimulationError, match=words) as error:
        model.learn(60, reset_num_timesteps=False)
    assert error.value.step == 4
    assert any("raised by the environment's step at step" in n for n in error.value.__notes__)
    with pytest.raises(SimulationError, match=words):
        evaluate_policy(model, way(env, 1, shut_at=4), 9)
    after = model.snapshot().state
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert model.num_timesteps == 120
    model.set_env(way(env, 3))
    assert model.learn(60, reset_num_timesteps=False).num_timesteps == 180


def test_the_first_failure_is_reported_equally_in_c_and_python(env_of):
    env, messages = env_of("library", "discrete"), []
    for way in (CompiledVectorEnv, Stepped):
        model = small_model(way(env, 5, shut_at=3), n_steps=20)
        with pytest.raises(SimulationError) as error:
            model.learn(100)
        messages.append((str(error.value), error.value.__notes__))
    assert messages[0] == messages[1]


def test_mask_values_other_than_0_and_1_are_named(library):
    env = CompiledVectorEnv(library("discrete"), 3, odd_at=2)
    env.reset(seed=0)
    env.step(first_open(env.action_masks(), "discrete"))
    words = r"the mask has 2 for choice 0 of component 0, not 0 or 1, in environment 0 at step 2"
    with pytest.raises(SimulationError, match=words):
        env.step(first_open(env.action_masks(), "discrete"))


def test_an_error_code_from_a_mask_is_named(library):
    env = CompiledVectorEnv(library("discrete", failure="s->t == 1 ? 5 : 0"), 3)
    env.reset(seed=0)
    with pytest.raises(SimulationError, match="mask returned error 5 in environment 0 at step 1"):
        env.step(first_open(env.action_masks(), "discrete"))


def test_the_first_mask_of_an_episode_is_checked(library):
    env = CompiledVectorEnv(library("discrete", "ENV.mask=shut"))
    with pytest.raises(SimulationError, match=r"all 6 choices .* in environment 0 at its reset;"):
        env.reset(seed=0)
    with pytest.raises(SimulationError, match=r"all 6 choices .* in environment 0 at its reset;"):
        env.observe()


def test_masks_of_real_actions_are_rejected(library):
    with pytest.raises(ValueError, match="mask requires choices"):
        CompiledVectorEnv(library("discrete", "ENV.choices=0"))
