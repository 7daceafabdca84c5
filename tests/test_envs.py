"""`fasttrpo.envs`: which environments it finds and registers, and errors without MuJoCo."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from tables import table

from fasttrpo import envs
from fasttrpo.envs import classic, mujoco


def python(code, *path):
    """The output of a new interpreter, with `path` first in sys.path."""
    code = f"import sys; sys.path[:0] = {list(map(str, path))!r}\n{code}"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    return out.stdout.strip()


def test_import_loads_no_slow_modules():
    """Neither the package, nor looking up an id that is not ours."""
    code = """
import fasttrpo
assert fasttrpo.envs.NAMESPACE == "fasttrpo/"
from fasttrpo.envs import mujoco
assert fasttrpo.envs.native("CartPole-v99") is None
print(sorted({"numpy", "gymnasium", "mujoco"} & set(sys.modules)))
"""
    assert python(code) == "[]"


# A package `mujoco` from before mujoco.batch, and none at all.
OLD = '__version__ = "3.3.2"\n'
NONE = "raise ModuleNotFoundError(\"No module named 'mujoco'\", name='mujoco')\n"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (OLD, ["MuJoCo 3.17 or newer is needed", "3.3.2 is installed", "--upgrade"]),
        (NONE, ["MuJoCo is not installed"]),
    ],
)
def test_without_mujoco_makers_name_the_command_to_install_it(tmp_path, source, words):
    (tmp_path / "mujoco").mkdir()
    (tmp_path / "mujoco" / "__init__.py").write_text(source)
    code = """
from fasttrpo import envs
from fasttrpo.envs import mujoco
assert envs.native("HalfCheetah-v5") is None
for call in (
    lambda: mujoco.make("HalfCheetah-v5", 2),
    lambda: mujoco.from_model("a.xml", None, None),
    lambda: mujoco.HalfCheetah(num_envs=2),
):
    try:
        call()
    except ImportError as error:
        print(error)
"""
    lines = python(code, tmp_path).splitlines()
    assert len(lines) == 3
    for line in lines:
        assert all(word in line for word in [*words, "pip install 'fasttrpo[mujoco]'"]), line


@pytest.mark.parametrize("source", [OLD, NONE])
def test_without_mujoco_models_name_the_command_to_install_it(tmp_path, source):
    (tmp_path / "mujoco").mkdir()
    (tmp_path / "mujoco" / "__init__.py").write_text(source)
    code = """
import warnings
from fasttrpo import TRPO
warnings.simplefilter("error")
for env_id, backend in (
    ("HalfCheetah-v5", None),
    ("HalfCheetah-v5", "native"),
    ("fasttrpo/HalfCheetah-v5", None),
    ("fasttrpo.envs:fasttrpo/HalfCheetah-v5", None),
):
    try:
        TRPO("MlpPolicy", env_id, env_backend=backend)
    except ImportError as error:
        print(error)
from fasttrpo import cli
cli.sys.stderr = sys.stdout
cli.main(["train", "HalfCheetah-v5", "--env-backend", "native"])
"""
    if source == OLD:  # enough for Gymnasium's environment
        code = code.replace('("HalfCheetah-v5", None),', "")
    lines = python(code, tmp_path).splitlines()
    assert len(lines) == (4 if source == OLD else 5)
    assert all("pip install 'fasttrpo[mujoco]'" in line for line in lines)


def test_falling_back_to_gymnasium_warns(monkeypatch):
    from fasttrpo.stream.make import as_vector_env

    monkeypatch.setattr(envs, "native", lambda *given: None)
    monkeypatch.setattr(envs, "missing", lambda env_id: "there is no MuJoCo")
    with pytest.warns(RuntimeWarning, match="CartPole-v1: using Gymnasium's environments, because"):
        as_vector_env("CartPole-v1", 2)


@table(
    "imports",
    [
        "import gymnasium, fasttrpo.envs",
        "from fasttrpo.envs import CompiledVectorEnv; import gymnasium",
        "import gymnasium",
        "import fasttrpo.envs, gymnasium; fasttrpo.envs.register()",
    ],
)
def test_gymnasium_makes_ours_by_module_and_id(imports):
    pytest.importorskip("fasttrpo.core._envs")
    code = f"""
{imports}
print(gymnasium.make_vec("fasttrpo.envs:fasttrpo/CartPole-v1", num_envs=2))
"""
    assert python(code) == "CompiledVectorEnv(fasttrpo/CartPole-v1, num_envs=2)"


@table("backend", ["native", None, "gymnasium"])
@table("prefix", ["fasttrpo/", "fasttrpo.envs:fasttrpo/"])
def test_models_take_ids_with_our_prefix(prefix, backend):
    pytest.importorskip("fasttrpo.core._envs")
    from fasttrpo import TRPO

    model = TRPO("MlpPolicy", f"{prefix}CartPole-v1", n_envs=2, env_backend=backend)
    env = model.get_env().vector_env
    assert isinstance(env, envs.CompiledVectorEnv) == (backend != "gymnasium")


def test_native_passes_n_threads_to_makers_with_threads(monkeypatch):
    from fasttrpo.envs.mujoco import versions

    monkeypatch.setattr(versions, "has_mujoco", lambda: True)
    assert envs.native("Hopper-v5", 3).keywords == {"n_threads": 3}


def test_unknown_ids_and_attributes():
    assert envs.native("NoSuch-v0") is None
    with pytest.raises(AttributeError, match="nothing"):
        envs.nothing  # noqa: B018
    with pytest.raises(AttributeError, match="nothing"):
        mujoco.nothing  # noqa: B018


class TestWithMujoco:
    """With MuJoCo installed."""

    @pytest.fixture(autouse=True)
    def _mujoco(self):
        pytest.importorskip("mujoco.batch", reason="no MuJoCo with mujoco.batch")

    @pytest.mark.parametrize("env_id", ["HalfCheetah-v5", "fasttrpo/HalfCheetah-v5"])
    def test_native_makes_mujoco_environments(self, env_id):
        env = envs.native(env_id)(num_envs=3, ctrl_cost_weight=0.2)
        assert isinstance(env, mujoco.MujocoVectorEnv)
        assert (env.num_envs, env.task.ctrl_cost_weight) == (3, 0.2)

    def test_gymnasium_makes_ours_by_module_and_id(self):
        """Imported by Gymnasium, the package registers itself without a warning."""
        code = """
import warnings, gymnasium
warnings.simplefilter("error")
env = gymnasium.make_vec("fasttrpo.envs:fasttrpo/Hopper-v5", num_envs=2, healthy_reward=2.0)
print(env, env.spec.id, env.task.healthy_reward, env.max_episode_steps)
print(len([i for i in gymnasium.registry if i.startswith("fasttrpo/")]))
"""
        first, second = python(code).splitlines()
        assert first == (
            "MujocoVectorEnv(fasttrpo/Hopper-v5, num_envs=2) fasttrpo/Hopper-v5 2.0 1000"
        )
        assert int(second) == len(mujoco.IDS) + (len(classic.IDS) if classic.has_extension() else 0)

    def test_registering_twice_has_no_effect(self):
        """Single environments are Gymnasium's."""
        code = """
import warnings, fasttrpo.envs, gymnasium
warnings.simplefilter("error")
fasttrpo.envs.register(); fasttrpo.envs.register()
single = gymnasium.make("fasttrpo/Ant-v5")
print(type(single.unwrapped).__name__, single.spec.max_episode_steps)
for env_id in fasttrpo.envs.mujoco.IDS:
    ours, its = gymnasium.spec("fasttrpo/" + env_id), gymnasium.spec(env_id)
    assert ours.reward_threshold == its.reward_threshold
    assert ours.max_episode_steps == its.max_episode_steps
    assert gymnasium.make_vec(ours, num_envs=2, max_episode_steps=7).max_episode_steps == 7
    assert ours.to_json()
sync = gymnasium.make_vec("fasttrpo/Ant-v5", num_envs=2, vectorization_mode="sync")
print(type(sync).__name__)
"""
        assert python(code).splitlines() == ["AntEnv 1000", "SyncVectorEnv"]

    def test_makers_are_available_by_name(self):
        assert mujoco.Swimmer(num_envs=2).task.xml_file == "swimmer.xml"
        assert sorted(mujoco.IDS) == sorted(f"{name}-v5" for name in mujoco.TASKS)

    def test_the_setting_n_threads_reaches_the_environments(self, monkeypatch):
        from fasttrpo import TRPO

        def threads(**settings):
            return TRPO("MlpPolicy", "Hopper-v5", n_envs=4, **settings).get_env().n_threads

        assert [threads(n_threads=n) for n in (1, 3)] == [1, 3]
        monkeypatch.setenv("FASTTRPO_NUM_THREADS", "2")
        assert threads() == 2

    @pytest.mark.parametrize("env_id", ["HalfCheetah-v5", "Ant-v5"])
    def test_training_is_repeatable(self, env_id):
        """Including autoresets."""
        from fasttrpo import TRPO

        def train():
            env = mujoco.make(env_id, 4, max_episode_steps=20, n_threads=1)
            return TRPO("MlpPolicy", env, n_steps=32, seed=3).learn(256)

        one, other = train(), train()
        np.testing.assert_array_equal(one.theta, other.theta)
        assert len(one.records) == 2
        assert one.records[-1]["episodes"] == 12
