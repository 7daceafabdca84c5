"""Action masks: from every place that environments have them to the agent, and what is wrong."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorWrapper
from gymnasium.wrappers.vector import DictInfoToList
from helpers import COUNTERS, Counter, collected
from tables import table
from vec_env import VecCartPole

from fasttrpo.sb3.convert import vector_env
from fasttrpo.spaces.masks import rows
from fasttrpo.stream.notes import is_from_environment
from fasttrpo.stream.stream import Stream

DISCRETE, MULTI = spaces.Discrete(9), spaces.MultiDiscrete([2, 4, 3])
ONES = (1,) * 9
KINDS = [(SyncVectorEnv, {}), (SyncVectorEnv, {"copy": False}), (AsyncVectorEnv, {})]


def bits(number):
    """The mask where a counter shows `number`: 9 choices, never all forbidden in a part."""
    mask = (int(number) * 37 >> np.arange(9)) & 1
    mask[[0, 3, 8]] = 1
    return mask


class Masked(Counter):
    """A counter whose masks are `bits` of what it shows; an episode's end forbids everything.

    form  "array", "list" or "parts": as infos have it; "method": by action_masks() alone;
          "sometimes": only where the number is odd, so never in a reset
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


def run(env, n_steps=7):
    return collected(env, n_steps, rollouts=3)


@table("form", ["array", "list", "parts", "method", "sometimes"])
@table("mode", list(AutoresetMode))
@table(("kind", "keywords"), KINDS)
def test_every_action_has_the_mask_of_its_observation(form, mode, kind, keywords):
    agent = run(masked(kind, mode, form, **keywords))
    assert len(agent.masks) == 21
    for (obs, *_, skip), mask in zip(agent.rows, agent.masks, strict=True):
        mask = np.ones((2, 9), bool) if mask is None else mask
        assert mask.dtype == bool
        for env in range(2):
            known = np.ones(9, bool) if skip[env] else expected(form, obs[env, 0])
            np.testing.assert_array_equal(mask[env], known)


@table("form", ["array", "list", "parts", "method", "sometimes"])
@table("mode", list(AutoresetMode))
def test_masks_in_lists_of_infos_are_the_same(form, mode):
    plain = run(masked(SyncVectorEnv, mode, form))
    listed = run(DictInfoToList(masked(SyncVectorEnv, mode, form)))
    for one, other in zip(plain.masks, listed.masks, strict=True):
        np.testing.assert_array_equal(one, other)


class Exacting(Masked):
    """Does not answer once its episode is over."""

    def __init__(self, length=3, truncates=False):
        super().__init__(length, truncates, form="method")
        self.action_masks = self._living

    def _living(self):
        assert self.t < self.length, "the episode is over"
        return self.mask()


@table("kind", [SyncVectorEnv, AsyncVectorEnv])
@table("mode", list(AutoresetMode))
def test_where_an_episode_is_over_nobody_is_asked(mode, kind):
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
    """Its masks have another form once its episode is over."""

    def mask(self):
        return super().mask() if self.t < self.length else np.ones(1, bool)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_what_is_said_where_all_episodes_are_over_may_have_any_form(mode):
    agent = run(SyncVectorEnv([Broken] * 2, autoreset_mode=mode))
    assert len(agent.masks) == 21


@pytest.mark.parametrize(
    ("shape", "instead"), [(9, r"\[2\] \* 9"), ((2, 3), r"np\.full\(\(2, 3\), 2\)")]
)
def test_the_actions_to_take_instead_are_named(shape, instead):
    env = Masked()
    env.action_space = spaces.MultiBinary(shape)
    with pytest.warns(UserWarning, match=rf"; MultiDiscrete\({instead}\) has the same"):
        Stream(SyncVectorEnv([lambda: env])).reset()


def test_environments_with_and_without_the_method_live_together():
    makers = [lambda: Masked(9, form="method"), lambda: Masked(9, form="sometimes")]
    stream = Stream(SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP))
    stream.reset()
    np.testing.assert_array_equal(stream.masks, [bits(0) > 0, np.ones(9)])


def test_environments_without_masks_give_none():
    env = SyncVectorEnv([Counter] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    assert run(env).masks == [None] * 21


class WithMethod(VectorWrapper):
    """A vector environment that has the masks of its environments itself."""

    def action_masks(self):
        return np.array([env.unwrapped.mask() for env in self.env.envs])


def test_vector_environments_may_have_the_method():
    inner = masked(SyncVectorEnv, AutoresetMode.SAME_STEP, "method")
    for env in inner.envs:
        del env.unwrapped.action_masks
    agent = run(WithMethod(inner))
    for (obs, *_), mask in zip(agent.rows, agent.masks, strict=True):
        np.testing.assert_array_equal(mask, [bits(number) for number in obs[:, 0]])


def test_a_wrapper_around_the_vector_environment_hides_nothing():
    agent = run(VectorWrapper(masked(SyncVectorEnv, AutoresetMode.SAME_STEP, "method")))
    np.testing.assert_array_equal(agent.masks[0], [bits(0), bits(0)])


class VecMasked(VecCartPole):
    """A `VecEnv` of Stable-Baselines3's, whose infos are those of an episode's end; the next one's
    are in `reset_infos`.
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
    """A wrapper of it, which knows of no resets."""

    def __init__(self, venv):
        self.venv, self.reset_infos = venv, [{}, {}]
        for name in ("num_envs", "observation_space", "action_space", "unwrapped", "seed"):
            setattr(self, name, getattr(venv, name))
        for name in ("reset", "step", "step_async", "step_wait", "env_method", "get_attr", "close"):
            setattr(self, name, getattr(venv, name))


@table("wrapped", [False, True])
@table("form", ["array", "list"])
def test_stable_baselines_environments(form, wrapped):
    venv = VecMasked(form)
    agent = run(vector_env(VecWrapper(venv) if wrapped else venv))
    for (obs, *_), mask in zip(agent.rows, agent.masks, strict=True):
        np.testing.assert_array_equal(mask, [bits(number) for number in obs[:, 0]])


class BoxMasked(Masked):
    def __init__(self):
        super().__init__()
        self.action_space = spaces.Box(-1, 1, (1,))


def test_masks_of_real_actions_are_left_alone_with_a_warning():
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


@table("kind", [SyncVectorEnv, AsyncVectorEnv])
@table("made", [Binary, Real])
@table(
    ("form", "source"),
    [
        ("array", r"^infos\['action_mask'\]"),
        ("sometimes", r"^infos\['action_mask'\]"),  # not in a reset
        ("method", r"^action_masks\(\)"),
    ],
)
def test_masks_of_actions_that_take_none_are_warned_of_once(form, source, made, kind):
    instead = r"; MultiDiscrete\(\[2\] \* 9\) has the same" if made is Binary else ""
    stream = Stream(kind([lambda: made(form)], autoreset_mode=AutoresetMode.SAME_STEP))

    def play():
        for _ in range(2):
            stream.reset()
            for _ in range(4):
                stream.step(np.zeros((1, 9), np.int8))

    with pytest.warns(UserWarning, match=f"{source} is ignored: .*{instead}") as seen:
        play()
    assert sum("ignored" in str(each.message) for each in seen) == 1
    assert stream.masks is None
    stream.env.close()


class Misnamed(Masked):
    def _info(self):
        return {"action_masks": self.mask()}


def test_a_key_that_is_nearly_right_is_warned_of():
    stream = Stream(SyncVectorEnv([Misnamed], autoreset_mode=AutoresetMode.SAME_STEP))
    with pytest.warns(
        UserWarning, match=r"infos\['action_masks'\] forbids no .*info\['action_mask'"
    ):
        stream.reset()


class Seen(Counter):
    """Has its masks where PettingZoo has them, in the observation; `told` also in infos."""

    action_space = DISCRETE
    observation_space = spaces.Dict(action_mask=spaces.MultiBinary(9), n=spaces.Box(-1, 1, (1,)))

    def __init__(self, told):
        super().__init__()
        self.told = told

    def reset(self, **keywords):
        super().reset(**keywords)
        seen = {"action_mask": np.ones(9, np.int8), "n": np.zeros(1, np.float32)}
        return seen, {"action_mask": seen["action_mask"]} if self.told else {}


@pytest.mark.parametrize("told", [False, True])
def test_masks_that_are_only_seen_are_warned_of(told):
    envs = SyncVectorEnv([lambda: Seen(told)], autoreset_mode=AutoresetMode.SAME_STEP)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stream = Stream(envs)
        stream.reset()
        stream.reset()
    words = [str(each.message) for each in caught if "action_mask" in str(each.message)]
    assert len(words) == (0 if told else 1)
    assert all("forbids no action" in each for each in words)


# -- what is wrong --------------------------------------------------------------------------------


class Wrong(Counter):
    """Gives `wrong` in place of `mask` in step 2."""

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
        (ONES, ONES[1:], r"mask of environment 1 at step 2 has shape \(8,\) .*shape \(9,\)"),
        (ONES, ("a",) * 9, r"of environment 1 at step 2 has shape \(9,\) and dtype <U1"),
        (ONES, ([1], [1, 2]), r"of environment 1 at step 2 is not an array"),
    ],
)
def test_a_mask_of_another_form_is_named(mask, wrong, message):
    makers = [lambda: Wrong(mask, mask), lambda: Wrong(mask, wrong)]
    with pytest.raises(ValueError, match=message):
        run(SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP))


@pytest.mark.parametrize("form", ["array", "method"])
def test_a_mask_that_leaves_nothing_is_told_with_what_to_do(form):
    class Shut(Masked):
        def mask(self):
            return np.zeros(9) if self.t == 2 else super().mask()

    message = "environment 0 forbids all 9 .* at step 2: end the episode .*or leave a choice open"
    with pytest.raises(ValueError, match=message):
        run(SyncVectorEnv([lambda: Shut(form=form)], autoreset_mode=AutoresetMode.SAME_STEP))


def test_what_a_method_raises_is_the_environment_s():
    class Broken(Counter):
        def action_masks(self):
            raise OSError("no masks today")

    with pytest.raises(OSError, match="no masks today") as error:
        run(SyncVectorEnv([Broken], autoreset_mode=AutoresetMode.SAME_STEP))
    assert is_from_environment(error.value)
    assert error.value.__notes__ == ["raised by the environment's action_masks"]


# -- forms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lead", [(), (5,), (4, 5)])
def test_forms_of_masks(lead):
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
