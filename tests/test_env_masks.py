"""Action masks: from every place where environments report them to the agent, and errors."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorWrapper
from gymnasium.wrappers.vector import DictInfoToList
from helpers import COUNTERS, Counter, collected
from pairs import pairwise
from tables import table
from vec_env import VecCartPole

from fasttrpo.sb3.convert import vector_env
from fasttrpo.spaces.masks import rows
from fasttrpo.stream.in_turn import InTurn
from fasttrpo.stream.notes import is_from_environment
from fasttrpo.stream.stream import Stream

DISCRETE, MULTI = spaces.Discrete(9), spaces.MultiDiscrete([2, 4, 3])
ONES = (1,) * 9
FORMS = ["array", "list", "parts", "method", "sometimes"]  # see Masked
KINDS = [(SyncVectorEnv, {}), (SyncVectorEnv, {"copy": False}), (AsyncVectorEnv, {})]


def bits(number):
    """The mask for the observation `number`: 9 choices, never all forbidden in a part."""
    mask = (int(number) * 37 >> np.arange(9)) & 1
    mask[[0, 3, 8]] = 1
    return mask


class Masked(Counter):
    """A counter whose masks are `bits` of its observation; at an episode's end all are forbidden.

    form  "array", "list" or "parts": in infos, of this type; "method": by action_masks() only;
          "sometimes": in infos if the number is odd, so never in a reset
    """

    def __init__(self, length=3, truncates=False, form="array"):
        super().__init__(length, truncates)
        self.form = form
        self.action_space = MULTI if form == "parts" else DISCRETE
        if form == "method":
            self.action_masks = lambda: self.mask().astype(bool)

    def reset(self, **keywords):
        obs, _ = super().reset(**keywords)
        return obs, self._info()

    def step(self, action):
        *rest, _ = super().step(action)
        return *rest, self._info()

    def mask(self):
        number = 10 * self.episode + self.t
        return bits(number) * (self.t < self.length)

    def _info(self):
        mask = self.mask()
        if self.form == "method" or (self.form == "sometimes" and self.t % 2 == 0):
            return {}
        parts = tuple(np.split(mask, [2, 6]))
        other = {"list": mask.tolist(), "parts": parts}
        return {"action_mask": other.get(self.form, mask.astype(np.int8))}


def expected(form, number):
    return np.ones(9, bool) if form == "sometimes" and number % 2 == 0 else bits(number) > 0


def masked(kind, mode, form, **keywords):
    makers = [lambda how=how: gymnasium.Wrapper(Masked(*how, form)) for how in COUNTERS]
    return kind(makers, autoreset_mode=mode, **keywords)


def same_step(kind, makers):
    mode = {} if kind is InTurn else {"autoreset_mode": AutoresetMode.SAME_STEP}
    return kind(makers, **mode)


def run(env, n_steps=7):
    return collected(env, n_steps, rollouts=3)


@table(("form", "mode", "how"), pairwise(FORMS, list(AutoresetMode), KINDS))
def test_every_action_has_the_mask_of_its_observation(form, mode, how):
    kind, keywords = how
    agent = run(masked(kind, mode, form, **keywords))
    assert len(agent.masks) == 21
    for (obs, *_, skip), mask in zip(agent.rows, agent.masks, strict=True):
        mask = np.ones((2, 9), bool) if mask is None else mask
        assert mask.dtype == bool
        for env in range(2):
            known = np.ones(9, bool) if skip[env] else expected(form, obs[env, 0])
            np.testing.assert_array_equal(mask[env], known)


@table("form", FORMS)
def test_masks_of_environments_stepped_in_turn_are_read_alike(form):
    makers = [lambda how=how: Masked(*how, form) for how in COUNTERS]
    agents = run(InTurn(makers)), run(masked(SyncVectorEnv, AutoresetMode.SAME_STEP, form))
    for one, other in zip(*(agent.masks for agent in agents), strict=True):
        np.testing.assert_array_equal(one, other)


@table("form", FORMS)
@table("mode", list(AutoresetMode))
def test_masks_in_lists_of_infos_are_read_alike(form, mode):
    plain = run(masked(SyncVectorEnv, mode, form))
    listed = run(DictInfoToList(masked(SyncVectorEnv, mode, form)))
    for one, other in zip(plain.masks, listed.masks, strict=True):
        np.testing.assert_array_equal(one, other)


class Exacting(Masked):
    """Its action_masks() fails once the episode is over."""

    def __init__(self, length=3, truncates=False):
        super().__init__(length, truncates, form="method")
        self.action_masks = self._living

    def _living(self):
        assert self.t < self.length, "the episode is over"
        return self.mask()


@table("kind", [SyncVectorEnv, AsyncVectorEnv])
@table("mode", list(AutoresetMode))
def test_action_masks_is_not_called_after_the_end_of_an_episode(mode, kind):
    env = kind([lambda how=how: Exacting(*how) for how in COUNTERS], autoreset_mode=mode)
    agent = run(env)
    assert len(agent.masks) == 21
    env.close()


class Failing(Exacting):
    """Fails in its second step, where the shorter episode is over."""

    def _living(self):
        if self.t == 2:
            raise OSError("no masks today")
        return self.mask()


def test_what_one_of_several_processes_raises_passes_through():
    makers = [lambda: Failing(3), lambda: Exacting(2)]
    env = AsyncVectorEnv(makers, autoreset_mode=AutoresetMode.NEXT_STEP)
    with pytest.raises(OSError, match="no masks today") as error:
        run(env)
    assert is_from_environment(error.value)
    env.close()


class Broken(Masked):
    """Its masks have another shape once the episode is over."""

    def mask(self):
        return super().mask() if self.t < self.length else np.ones(1, bool)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_masks_of_finished_episodes_may_have_any_shape(mode):
    agent = run(SyncVectorEnv([Broken] * 2, autoreset_mode=mode))
    assert len(agent.masks) == 21


@pytest.mark.parametrize(
    ("shape", "instead"), [(9, r"\[2\] \* 9"), ((2, 3), r"np\.full\(\(2, 3\), 2\)")]
)
def test_the_warning_for_multibinary_names_the_alternative(shape, instead):
    env = Masked()
    env.action_space = spaces.MultiBinary(shape)
    with pytest.warns(UserWarning, match=rf"; MultiDiscrete\({instead}\) has the same"):
        Stream(SyncVectorEnv([lambda: env])).reset()


def test_environments_with_and_without_the_method_can_be_mixed():
    makers = [lambda: Masked(9, form="method"), lambda: Masked(9, form="sometimes")]
    stream = Stream(SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP))
    stream.reset()
    np.testing.assert_array_equal(stream.masks, [bits(0) > 0, np.ones(9)])


def test_environments_without_masks_have_none():
    env = SyncVectorEnv([Counter] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    assert run(env).masks == [None] * 21


class WithMethod(VectorWrapper):
    """A vector environment with its own action_masks()."""

    def action_masks(self):
        return np.array([env.unwrapped.mask() for env in self.env.envs])


def test_vector_environments_may_have_the_method():
    inner = masked(SyncVectorEnv, AutoresetMode.SAME_STEP, "method")
    for env in inner.envs:
        del env.unwrapped.action_masks
    agent = run(WithMethod(inner))
    for (obs, *_), mask in zip(agent.rows, agent.masks, strict=True):
        np.testing.assert_array_equal(mask, [bits(number) for number in obs[:, 0]])


def test_masks_are_found_behind_a_wrapper_of_the_vector_environment():
    agent = run(VectorWrapper(masked(SyncVectorEnv, AutoresetMode.SAME_STEP, "method")))
    np.testing.assert_array_equal(agent.masks[0], [bits(0), bits(0)])


class VecMasked(VecCartPole):
    """An SB3 `VecEnv`: its infos are those of an episode's end, and `reset_infos` those of the
    next one.
    """

    def __init__(self, form):
        self.envs = [Masked(*how, form) for how in COUNTERS]
        self.num_envs, self.seeds = 2, [None, None]
        self.observation_space, self.action_space = Masked.observation_space, DISCRETE
        self.unwrapped = self
        self.reset_infos = [{}, {}]

    def reset(self):
        rows = [env.reset() for env in self.envs]
        self.reset_infos = [info for _, info in rows]
        return np.stack([obs for obs, _ in rows])

    def _step(self, env, action):
        obs, reward, terminated, truncated, info = env.step(action)
        info |= {"TimeLimit.truncated": truncated}
        if terminated or truncated:
            info["terminal_observation"] = obs
            obs, self.reset_infos[self.envs.index(env)] = env.reset()
        return obs, reward, terminated or truncated, info


class VecWrapper:
    """A wrapper whose own `reset_infos` stay empty."""

    def __init__(self, venv):
        self.venv, self.reset_infos = venv, [{}, {}]
        for name in ("num_envs", "observation_space", "action_space", "unwrapped", "seed"):
            setattr(self, name, getattr(venv, name))
        for name in ("reset", "step", "step_async", "step_wait", "env_method", "get_attr", "close"):
            setattr(self, name, getattr(venv, name))


@table("wrapped", [False, True])
@table("form", ["array", "list"])
def test_masks_of_stable_baselines3_environments_are_read(form, wrapped):
    venv = VecMasked(form)
    agent = run(vector_env(VecWrapper(venv) if wrapped else venv))
    for (obs, *_), mask in zip(agent.rows, agent.masks, strict=True):
        np.testing.assert_array_equal(mask, [bits(number) for number in obs[:, 0]])


class BoxMasked(Masked):
    def __init__(self):
        super().__init__()
        self.action_space = spaces.Box(-1, 1, (1,))


def test_masks_of_real_actions_are_ignored_with_a_warning():
    stream = Stream(SyncVectorEnv([BoxMasked], autoreset_mode=AutoresetMode.SAME_STEP))
    with pytest.warns(UserWarning, match=r"infos\['action_mask'\] is ignored"):
        stream.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stream.step(np.zeros((1, 1)))
        stream.reset()
    assert stream.masks is None


class Binary(Masked):
    def __init__(self, form="array"):
        super().__init__(form=form)
        self.action_space = spaces.MultiBinary(9)


class Real(Binary):
    def __init__(self, form="array"):
        super().__init__(form)
        self.action_space = spaces.Box(-1, 1, (9,))


SOURCES = {
    "array": r"^infos\['action_mask'\]",
    "sometimes": r"^infos\['action_mask'\]",  # not in a reset
    "method": r"^action_masks\(\)",
}


@table(
    ("form", "env_class", "kind"),
    pairwise(SOURCES, [Binary, Real], [SyncVectorEnv, AsyncVectorEnv]),
)
def test_masks_that_the_action_space_does_not_support_warn_once(form, env_class, kind):
    instead = r"; MultiDiscrete\(\[2\] \* 9\) has the same" if env_class is Binary else ""
    stream = Stream(kind([lambda: env_class(form)], autoreset_mode=AutoresetMode.SAME_STEP))

    def play():
        for _ in range(2):
            stream.reset()
            for _ in range(4):
                stream.step(np.zeros((1, 9), np.int8))

    with pytest.warns(UserWarning, match=f"{SOURCES[form]} is ignored: .*{instead}") as warned:
        play()
    assert sum("ignored" in str(each.message) for each in warned) == 1
    assert stream.masks is None
    stream.env.close()


class Misnamed(Masked):
    def _info(self):
        return {"action_masks": self.mask()}


def test_a_misspelt_key_is_warned_of():
    stream = Stream(SyncVectorEnv([Misnamed], autoreset_mode=AutoresetMode.SAME_STEP))
    with pytest.warns(UserWarning, match=r"infos\['action_masks'\] masks no .*info\['action_mask'"):
        stream.reset()


class MaskInObservation(Counter):
    """Has its masks in the observation, like PettingZoo; with `in_infos` also in infos."""

    action_space = DISCRETE
    observation_space = spaces.Dict(action_mask=spaces.MultiBinary(9), n=spaces.Box(-1, 1, (1,)))

    def __init__(self, in_infos):
        super().__init__()
        self.in_infos = in_infos

    def reset(self, **keywords):
        super().reset(**keywords)
        obs = {"action_mask": np.ones(9, np.int8), "n": np.zeros(1, np.float32)}
        return obs, {"action_mask": obs["action_mask"]} if self.in_infos else {}


@pytest.mark.parametrize("in_infos", [False, True])
def test_masks_in_the_observation_only_are_warned_of(in_infos):
    envs = SyncVectorEnv(
        [lambda: MaskInObservation(in_infos)], autoreset_mode=AutoresetMode.SAME_STEP
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stream = Stream(envs)
        stream.reset()
        stream.reset()
    words = [str(each.message) for each in caught if "action_mask" in str(each.message)]
    assert len(words) == (0 if in_infos else 1)
    assert all("masks no action" in each for each in words)


# -- errors ----------------------------------------------------------------------------------------


class Wrong(Counter):
    """Reports `wrong` instead of `mask` in step 2."""

    action_space = DISCRETE

    def __init__(self, mask, wrong):
        super().__init__(9)
        self.mask, self.wrong = mask, wrong

    def reset(self, **keywords):
        return super().reset(**keywords)[0], {"action_mask": self.mask}

    def step(self, action):
        *rest, _ = super().step(action)
        return *rest, {"action_mask": self.wrong if self.t == 2 else self.mask}


@table(
    ("mask", "wrong", "message"),
    [
        (
            np.ones(9),
            np.full(9, 0.5),
            r"mask at step 2 has 0\.5 of environment 1, not True or F",
        ),
        (
            np.ones(9, np.int8),
            np.array([1, 2, *ONES[2:]], np.int8),
            r"mask at step 2 has 2 of environment 1, not True or F",
        ),
        (ONES, ONES[1:], r"mask of environment 1 at step 2 has shape \(8,\) .*shape \(9,\)"),
        (ONES, ("a",) * 9, r"of environment 1 at step 2 has shape \(9,\) and dtype <U1"),
        (ONES, ([1], [1, 2]), r"of environment 1 at step 2 is not an array"),
    ],
)
@pytest.mark.parametrize("kind", [SyncVectorEnv, InTurn])
def test_masks_of_wrong_shape_or_type_are_named(mask, wrong, message, kind):
    makers = [lambda: Wrong(mask, mask), lambda: Wrong(mask, wrong)]
    with pytest.raises(ValueError, match=message):
        run(same_step(kind, makers))


@pytest.mark.parametrize("kind", [SyncVectorEnv, InTurn])
@pytest.mark.parametrize("form", ["array", "method"])
def test_a_mask_that_forbids_everything_is_an_error_with_a_remedy(form, kind):
    class Shut(Masked):
        def mask(self):
            return np.zeros(9) if self.t == 2 else super().mask()

    message = "environment 0 forbids all 9 .* at step 2: end the episode .*or allow a choice"
    with pytest.raises(ValueError, match=message):
        run(same_step(kind, [lambda: Shut(form=form)]))


def test_errors_in_action_masks_count_as_the_environment():
    class Broken(Counter):
        def action_masks(self):
            raise OSError("no masks today")

    with pytest.raises(OSError, match="no masks today") as error:
        run(SyncVectorEnv([Broken], autoreset_mode=AutoresetMode.SAME_STEP))
    assert is_from_environment(error.value)
    assert error.value.__notes__ == ["raised by the environment's action_masks"]


# -- forms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lead", [(), (5,), (4, 5)])
def test_all_forms_of_masks_are_read_alike(lead):
    random = np.random.default_rng(0)
    mask = random.integers(0, 2, (*lead, 6))
    for parts in ((6,), (1, 2, 3), (2, 2, 2), (3, 3)):
        split = np.split(mask, np.cumsum(parts)[:-1], axis=-1)
        forms = [mask, mask.astype(bool), mask * 1.0, mask.tolist(), split, tuple(split)]
        if len(set(parts)) == 1:
            forms.append(mask.reshape(*lead, len(parts), parts[0]))
        for form in forms:
            np.testing.assert_array_equal(rows("mask", form, lead, parts), mask > 0)
    valid = np.ones(lead, bool)
    if lead:
        valid[-1] = False
    broken = np.where(valid[..., None], mask, np.nan)
    opened = rows("mask", broken, lead, (6,), valid=valid)
    np.testing.assert_array_equal(opened, (mask > 0) | ~valid[..., None])


@table("wrong", [np.ones(5), np.ones((1, 6)), "x", None, {1: 2}, [[1], [1, 2]]])
def test_other_forms_are_refused(wrong):
    with pytest.raises(ValueError, match=r"^mask "):
        rows("mask", wrong, (), (3, 3))
