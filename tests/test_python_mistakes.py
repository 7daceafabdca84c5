"""Mutation tests of the Python layers: with one mistake in a copy of the library, the named tests
must fail. tests/test_c.py does the same for the core.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

# {mistake: (file, right text, wrong text, the tests that must fail)}
MISTAKES = {
    "a finished episode's return continues": (
        "training/episodes.py",
        "self._totals[e], self._lengths[e] = 0.0, 0",
        "self._totals[e], self._lengths[e] = 1.0, 0",
        "test_collect.py",
    ),
    "rows without a step are counted": (
        "training/collect.py",
        "n_stepped += stepped",
        "n_stepped += n_envs",
        "test_collect.py",
    ),
    "rewards of rows without a step are summed": (
        "training/episodes.py",
        ", where=stepped)",
        ")",
        "test_collect.py",
    ),
    "the observation after a truncation is the next episode's": (
        "training/rollout.py",
        "np.where(truncated[..., None], final, following)",
        "np.where(truncated[..., None], following, final)",
        "test_rollout.py",
    ),
    "an end may not be followed by an invalid row": (
        "training/rollout.py",
        "valid[:-1] & ~valid[1:] & ~done[:-1]",
        "valid[:-1] & ~valid[1:]",
        "test_rollout.py",
    ),
    "a truncated episode continues": (
        "stream/stream.py",
        "self.obs, self._over = obs, done",
        "self.obs, self._over = obs, terminated",
        "test_collect.py",
    ),
    "a reset counts as a step": (
        "stream/stream.py",
        "skip = self._over if self._is_next_step else self._no_envs",
        "skip = self._no_envs",
        "test_collect.py",
    ),
    "seeds beyond a C int": (
        "stream/seeds.py",
        "% (LIMIT - env.num_envs)",
        "% LIMIT",
        "test_environment_seeds.py",
    ),
    "a schedule rises": (
        "settings/schedules.py",
        "else start) * remaining",
        "else start) * (1 - remaining)",
        "test_schedules.py",
    ),
    "a schedule ignores its start": (
        "settings/schedules.py",
        "(default if start is None else start)",
        "default",
        "test_schedules.py",
    ),
    "a header with a duplicate name": (
        "files/checkpoint.py",
        "if len(data) < len(pairs):",
        "if not data and pairs:",
        "test_model_files.py",
    ),
    "spaces larger than the arrays": (
        "files/checkpoint.py",
        'observations.size != count.get("obs_mean") or prod',
        'observations.size != count.get("obs_mean") and prod',
        "test_model_files.py",
    ),
    "one counter saved as another": (
        "files/checkpoint.py",
        '"n_updates": checkpoint.n_updates',
        '"n_updates": checkpoint.num_timesteps',
        "test_checkpoint.py",
    ),
    "reaching the reward threshold does not pass": (
        "evaluate.py",
        "not mean > reward_threshold",
        "not mean >= reward_threshold",
        "test_evaluate.py",
    ),
    "the environment is unavailable outside rollouts": (
        "training/trainer.py",
        "if self.phase == ROLLOUT:",
        "if self.phase != ROLLOUT:",
        "test_changes_during_training.py",
    ),
    "actions counted from the wrong start": (
        "spaces/actions.py",
        "act.ravel().astype(np.int64) + self.start",
        "act.ravel().astype(np.int64) - self.start",
        "test_spaces.py",
    ),
    "a scaled action is read back shifted": (
        "spaces/actions.py",
        "np.divide(actions - middle, half",
        "np.divide(actions + middle, half",
        "test_spaces.py",
    ),
    "the twin allows forbidden choices": (
        "portable/masks.py",
        "np.where(mask, ",
        "np.where(~mask, ",
        "test_masks.py",
    ),
    "the twin's advantages include the next episode": (
        "portable/advantages.py",
        "later = 0.0 if cut else adv[t + 1, e]",
        "later = 0.0 if t == T - 1 else adv[t + 1, e]",
        "test_advantages.py::test_recursion_equals_the_explicit_sum",
    ),
    "the twin's reward scale ignores episode ends": (
        "portable/normalizer.py",
        "0.0 if done[t, e] or not np",
        "0.0 if not np",
        "test_normalizer.py",
    ),
    "the twin's line search shrinks only once": (
        "portable/line_search.py",
        "scale *= shrink",
        "scale = shrink",
        "test_line_search.py",
    ),
    "the twin's line search accepts a step without gain": (
        "portable/line_search.py",
        "surr > surr_old else",
        "surr >= surr_old else",
        "test_line_search.py",
    ),
    "the twin lowers the entropy": (
        "portable/line_search.py",
        "surr + c * entropy if c > 0",
        "surr - c * entropy if c > 0",
        "test_entropy.py",
    ),
    "the twin's Adam corrects no bias": (
        "portable/critic.py",
        "v / (1 - power(BETA_2, t))",
        "v",
        "test_critic.py::test_adam_by_hand",
    ),
    "the twin's ridge critic grows its weights": (
        "portable/critic.py",
        "+ s.critic_damping * w",
        "- s.critic_damping * w",
        "test_critic.py::test_ridge_is_ridge_regression",
    ),
    "the twin's critic may get worse": (
        "portable/critic.py",
        "< before and is_finite",
        "> before and is_finite",
        "test_critic.py::test_gauss_newton_step",
    ),
}


def library() -> Path:
    """The folder of the installed library."""
    spec = importlib.util.find_spec("fasttrpo")
    assert spec is not None
    return Path(str(spec.origin)).parent


def library_with(mistake: str, folder: Path) -> None:
    """A copy of the installed library with the mistake in it."""
    name, right, wrong, _ = MISTAKES[mistake]
    copy = folder / "fasttrpo"
    shutil.copytree(library(), copy, ignore=shutil.ignore_patterns("*.c", "*.pyx", "__pycache__"))
    text = (copy / name).read_text(encoding="utf-8")
    (copy / name).write_text(text.replace(right, wrong), encoding="utf-8")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_has_one_place_in_the_source(mistake):
    name, right, _, _ = MISTAKES[mistake]
    text = (library() / name).read_text(encoding="utf-8")
    assert text.count(right) == 1, f"{name} does not have {right!r} exactly once: update MISTAKES"


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_python_is_caught(mistake, tmp_path):
    library_with(mistake, tmp_path)
    files = [str(TESTS / name) for name in MISTAKES[mistake][-1].split()]
    options = ["-x", "-q", "-p", "no:cacheprovider", "-c", str(TESTS.parent / "pyproject.toml")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        env=os.environ | {"PYTHONPATH": str(tmp_path), "FASTTRPO_NUMBA": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr  # 1: failed; others: not run
