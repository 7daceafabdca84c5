"""`.bin` files: the same model as in `.npz`, in C and in plain Python; and bad ones are refused."""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import shutil
import zipfile
from pathlib import Path

import numpy as np
import plain_reader
import pytest
from c_objects import CC, FLAGS, ROOT, compile_core, run
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from helpers import SpacesOnly, insides, same_state, small_model

from fasttrpo import TRPO, FormatError
from fasttrpo.files import checkpoint, sections
from fasttrpo.settings.table import ROWS

MUTATOR = Path(__file__).parent / "fuzz" / "model_files.py"


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> list[Path]:
    """`.npz` files with all kinds of spaces, critics and features."""
    spec = importlib.util.spec_from_file_location("model_files", MUTATOR)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("models")
    paths = []
    for i, data in enumerate(module.seeds_of_mutants()):
        paths.append(folder / f"{i}.npz")
        paths[-1].write_bytes(data)
    return paths


def contents(path):
    """The members of an `.npz` file."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def converted(path, to):
    checkpoint.write(to, checkpoint.read(path))
    return to


def test_files_convert_into_each_other_without_loss(models, tmp_path):
    for path in models:
        there = converted(path, tmp_path / "there.bin")
        back = converted(there, tmp_path / "back.npz")
        assert contents(back) == contents(path)
        assert converted(there, tmp_path / "again.bin").read_bytes() == there.read_bytes()


def test_old_files_convert_too(tmp_path):
    for path in sorted((ROOT / "tests/data/old").glob("*.npz")):
        model = TRPO.load(path)
        model.save(tmp_path / "m.bin")
        assert same_state(TRPO.load(tmp_path / "m.bin"), model)


SPACES = {
    "box": Box(np.float32([-2, -1]), np.float32([1, 3])),
    "unbounded": Box(-np.inf, np.inf, (2,)),
    "discrete": Discrete(3),
    "multi_discrete": MultiDiscrete([2, 4]),
    "multi_binary": MultiBinary(3),
}
OBSERVATIONS = Box(-np.inf, np.inf, (3,), np.float32)


def model_of(actions, **keywords):
    """A model with random statistics and parameters."""
    settings = {"normalize_observations": True, "n_steps": 16, "seed": 2**40 + 3, **keywords}
    settings.setdefault("policy_kwargs", {"net_arch": [6, 5], "activation_fn": "relu"})
    policy = "LinearPolicy" if "features" in settings["policy_kwargs"] else "MlpPolicy"
    model = TRPO(policy, SpacesOnly(OBSERVATIONS, actions), **settings)
    agent, rng = insides(model).agent, np.random.default_rng(0)
    state = agent.state()
    state["theta"] = rng.normal(size=len(state["theta"]))
    state |= {"obs_count": np.array([50.0]), "obs_mean": rng.normal(size=3)}
    agent.load_state({**state, "obs_m2": 50 * rng.random(3)})
    return model


@pytest.mark.parametrize("kind", SPACES)
def test_a_plain_reader_acts_like_the_model(kind, tmp_path):
    """From what docs/file-format.md says."""
    obs = np.random.default_rng(1).normal(size=(20, 3)).astype(np.float32)
    for scale in (False, True) if kind == "box" else (False,):
        model = model_of(SPACES[kind], dtype="float64", scale_actions=scale)
        model.policy.save(tmp_path / "policy.bin")
        policy = plain_reader.read((tmp_path / "policy.bin").read_bytes())["policy"]
        actions, _ = model.predict(obs, deterministic=True)
        for row, action in zip(obs, actions, strict=True):
            found = plain_reader.act(policy, row.tolist())
            assert np.allclose(np.ravel(action), found, rtol=1e-6, atol=1e-6)


def monomials(x, degree):
    """In the order of the document."""
    for d in range(1, degree + 1):
        for factors in itertools.combinations_with_replacement(x, d):
            yield math.prod(factors)


def features_of(policy, x):
    """The features of an observation, from what docs/file-format.md says."""
    if policy["features"] == "polynomial":
        return list(monomials(x, policy["feature_degree"]))
    shape = (policy["n_features"], len(x))
    rows, phases = np.split(np.array(policy["drawn_features"]), [math.prod(shape)])
    rows = rows.reshape(shape)
    is_rbf = policy["features"] == "rbf"
    nu = policy["feature_bandwidth"] or math.sqrt(2 * len(x)) / (2 if is_rbf else 1)
    if is_rbf:
        return np.exp(-((rows - x) ** 2).sum(axis=1) / (2 * nu**2)).tolist()
    return np.sin(rows @ x / nu + phases).tolist()


@pytest.mark.filterwarnings("ignore:features=")
@pytest.mark.parametrize(
    "kwargs",
    [
        {"features": "fourier", "n_features": 7},
        {"features": "fourier", "n_features": 7, "feature_bandwidth": 0.75},
        {"features": "rbf", "n_features": 7},
        {"features": "rbf", "n_features": 7, "feature_bandwidth": 0.75},
        {"features": "polynomial", "feature_degree": 3},
    ],
)
def test_features_are_those_of_the_document(kwargs, tmp_path):
    keywords = {"normalize_observations": False, "dtype": "float64"}
    model = model_of(SPACES["unbounded"], policy_kwargs=kwargs, **keywords)
    model.policy.save(tmp_path / "policy.bin")
    policy = plain_reader.read((tmp_path / "policy.bin").read_bytes())["policy"]
    for x in np.random.default_rng(1).normal(size=(5, 3)).tolist():
        phi = features_of(policy, x)
        action, _ = model.predict(np.array(x), deterministic=True)
        assert np.allclose(action, plain_reader.act({**policy, "obs_size": len(phi)}, phi), 1e-6)


def test_a_plain_reader_is_short_and_alone():
    text = (ROOT / "tests/plain_reader.py").read_text()
    assert text.count("\n") <= 75
    assert "fasttrpo" not in text


FEATURES = {
    "fourier": {"features": "fourier", "n_features": 5},
    "polynomial": {"features": "polynomial", "feature_degree": 3},
}


def test_both_backends_save_the_core_s_bytes(tmp_path):
    """What trpo_save writes is what Python writes, and Python writes it again as it was."""
    cases = [(space, {}) for space in SPACES.values()]
    cases += [(SPACES["discrete"], {"critic": critic}) for critic in ("adam", "ridge")]
    cases += [(SPACES["box"], {"policy_kwargs": kwargs}) for kwargs in FEATURES.values()]
    for actions, keywords in cases:
        model = model_of(actions, **keywords)
        path, again = tmp_path / "core.bin", tmp_path / "again.bin"
        path.write_bytes(insides(model).agent.save_bytes())
        for backend in ("portable", "compiled"):
            loaded = TRPO.load(path, backend=backend)
            assert insides(loaded).agent.state().keys() == insides(model).agent.state().keys()
            assert same_state(loaded, model)
        loaded = TRPO.load(path)
        loaded.save(again)
        assert again.read_bytes() == path.read_bytes()
        model.save(again)
        core, python = (sections.unpack(p.read_bytes()) for p in (path, again))
        assert python["training"].keys() == core["training"].keys()
        for name, value in core["training"].items():
            assert np.array_equal(python["training"][name], value), name
        for name, value in core["policy"].items():
            assert np.array_equal(python["policy"][name], value), name


needs_cc = pytest.mark.skipif(shutil.which(CC) is None, reason=f"there is no C compiler ({CC})")


@pytest.fixture(scope="module")
def copy_model(tmp_path_factory):
    """tests/c/copy_model.c as a program in single precision."""
    objects = compile_core("float32", tmp_path_factory)
    program = tmp_path_factory.mktemp("program") / "copy_model"
    main = str(ROOT / "tests/c/copy_model.c")
    run([CC, *FLAGS, "-o", str(program), main, *map(str, objects), "-lm"])
    return program


@needs_cc
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_a_model_goes_from_python_to_c_and_back(env, copy_model, tmp_path):
    """C reads the model, acts like it and writes it again; Python trains on what C trained on."""
    path, copy, trained = (tmp_path / name for name in ("model.bin", "copy.bin", "trained.bin"))
    keywords = {"scale_actions": True} if env == "Pendulum-v1" else {}
    model = small_model(env, normalize_observations=True, normalize_rewards=True, **keywords)
    model.learn(128).save(path, checkpoint=True)
    printed = run([str(copy_model), str(path), str(copy), str(trained)]).split()
    assert copy.read_bytes() == path.read_bytes()
    shape = (3, *model.observation_space.shape)
    obs = (np.arange(np.prod(shape), dtype=np.float32) % 7 / 4 - 1).reshape(shape)
    actions = np.stack([model.predict(obs, deterministic=each)[0] for each in (True, False)])
    assert np.ravel(actions).tolist() == np.float32(printed).tolist()
    after = TRPO.load(trained, env)
    assert insides(after).agent.state()["counters"][4] == model.n_updates + 1
    after.learn(64)


@needs_cc
def test_a_model_made_in_c_needs_no_section_of_python(copy_model, tmp_path):
    """Its spaces are plain numbers; trained in C and saved in Python it stays a file of C."""
    model = small_model("CartPole-v1")
    born = tmp_path / "born.bin"
    born.write_bytes(insides(model).agent.save_bytes())
    run([str(copy_model), str(born), str(tmp_path / "copy.bin"), str(tmp_path / "trained.bin")])
    assert (tmp_path / "copy.bin").read_bytes() == born.read_bytes()
    trained = TRPO.load(tmp_path / "trained.bin")
    assert (trained.n_updates, trained.num_timesteps) == (1, 16 * 4)
    assert trained.observation_space.shape == (4,)
    assert trained.action_space == Discrete(2)
    trained.save(tmp_path / "again.bin")
    assert (tmp_path / "again.bin").read_bytes() == (tmp_path / "trained.bin").read_bytes()
    trained.set_env(small_model("CartPole-v1").get_env())
    trained.learn(64)
    assert trained.n_updates == 2


def test_settings_that_c_programs_change_are_theirs(tmp_path):
    """They load a model, change what does not define its arrays, and copy the section of Python."""
    model = small_model("Pendulum-v1", kl_reduction="mean").learn(64)
    model.save(tmp_path / "m.bin", checkpoint=True)
    found = sections.unpack((tmp_path / "m.bin").read_bytes())
    real = {"gamma": 0.5, "target_kl": 0.0625, "cg_damping": 0.25}
    whole = {"n_envs": 3, "n_steps": 20, "batch_size": 0, "ortho_init": 0}
    found["training"] |= {name: np.array(value) for name, value in real.items()}
    found["training"] |= {name: np.array(value, np.int32) for name, value in whole.items()}
    found["training"]["rew_running"] = np.zeros(3)
    found["policy"]["log_std_min"] = np.array(-3.0)
    found["training"]["preconditioner"] = "none"
    steps = found["training"]["cg_max_steps"]  # a default that follows from it in Python
    (tmp_path / "c.bin").write_bytes(sections.pack(found))
    loaded = TRPO.load(tmp_path / "c.bin", "Pendulum-v1")
    for name in ("gamma", "target_kl", "cg_damping", "n_envs", "n_steps"):
        assert getattr(loaded.settings, name) == (real | whole)[name]
    assert loaded.settings.batch_size is None
    kwargs = loaded.settings.policy_kwargs
    assert (kwargs["ortho_init"], kwargs["log_std_min"]) == (False, -3.0)
    assert loaded.settings.kl_reduction == "mean"
    assert loaded.settings.cg_max_steps == steps
    loaded.learn(60)
    loaded.save(tmp_path / "again.bin")
    again = sections.unpack((tmp_path / "again.bin").read_bytes())
    assert again["training"]["n_envs"] == 3


@pytest.mark.parametrize("has_header", [True, False])
def test_settings_of_c_alone_give_a_warning(has_header, tmp_path):
    def change(found):
        found["training"]["cg_tolerance"] = np.array(0.125)
        if not has_header:
            del found["python"]

    path = packed(small_model("CartPole-v1"), tmp_path, change)
    with pytest.warns(UserWarning, match=r"cg_tolerance, 0\.125 in this file: Python trains with"):
        TRPO.load(path)


def test_the_document_names_every_field(tmp_path):
    text = (ROOT / "docs/file-format.md").read_text()
    for keywords in ({"critic": "adam"}, *({"policy_kwargs": each} for each in FEATURES.values())):
        model_of(SPACES["box"], **keywords).save(tmp_path / "m.bin", checkpoint=True)
        found = sections.unpack((tmp_path / "m.bin").read_bytes())
        names = set(found["policy"]) | set(found["python"]) | set(found["training"]) - set(ROWS)
        assert {name for name in names if f"`{name}`" not in text} == set()


# -- bad files -------------------------------------------------------------------------------------


def packed(model, tmp_path, change):
    """The path of a model whose sections `change` has changed."""
    path = tmp_path / "changed.bin"
    model.save(path)
    found = sections.unpack(path.read_bytes())
    change(found)
    path.write_bytes(sections.pack(found))
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f["policy"].pop("theta"), "lacks theta"),
        (lambda f: f["policy"].update(theta=np.zeros(3)), "theta does not match"),
        (lambda f: f["policy"].update(theta=np.full(58, np.nan)), "theta"),
        (lambda f: f["policy"].update(obs_size=np.array(2**24, np.int32)), "obs_size"),
        (lambda f: f["policy"].update(parts=np.array([2**24], np.int32)), "parts|theta"),
        (lambda f: f["policy"].update(distribution="cauchy"), "distribution"),
        (lambda f: f["policy"].update(glow=np.zeros(2)), "policy has 'glow'; upgrade it"),
        (lambda f: f["training"].update(gamma=np.array(2.0)), "gamma"),
        (lambda f: f["training"].update(gamma=np.array(1, np.int32)), "gamma has another type"),
        (lambda f: f["policy"].update(activation="relu"), "differ in activation"),
        (lambda f: f["policy"].update(counters=np.full(7, 0.5)), "counters"),
        (lambda f: f["policy"].update(counters=np.zeros((7, 1))), "counters"),
        (lambda f: f["python"].update(header="[" * 100_000), "header|recursion|damaged"),
        (lambda f: f["python"].update(episode_count=np.zeros(1)), "episode_count"),
        (lambda f: f.pop("policy"), "no section policy"),
    ],
)
def test_impossible_contents_are_named(change, words, tmp_path):
    path = packed(small_model("CartPole-v1"), tmp_path, change)
    with pytest.raises(FormatError, match=rf"changed\.bin .*({words})") as caught:
        TRPO.load(path)
    assert "\n" not in str(caught.value)


def test_the_core_s_settings_are_checked_without_a_header_too(tmp_path):
    def without_header(found):
        found.pop("python")
        found["policy"]["obs_size"] = np.array(2**24, np.int32)

    with pytest.raises(FormatError, match="obs_size does not match"):
        TRPO.load(packed(small_model("CartPole-v1"), tmp_path, without_header))


@pytest.mark.parametrize(
    "bounds",
    [
        {"act_to_env": np.array([5.0])},
        {"act_to_env": np.array([0.5])},
        {"act_low": np.array([np.nan])},
        {"act_low": np.array([9.0])},
        {"act_low": np.zeros(2)},
        {"act_low": np.array([-np.inf]), "act_high": np.array([np.inf])},
        {"act_high": np.array([np.inf]), "act_to_env": np.array([3.0])},
        {"distribution": "bernoulli"},
        {"act_to_env": None},
    ],
)
def test_wrong_bounds_are_refused(bounds, tmp_path):
    """As C programs refuse them."""

    def change(found):
        del found["python"]
        found["policy"].update(bounds)
        found["policy"] = {n: v for n, v in found["policy"].items() if v is not None}

    with pytest.raises(FormatError, match=r"changed\.bin is damaged: its bounds of actions"):
        TRPO.load(packed(small_model("Pendulum-v1"), tmp_path, change))


def test_a_policy_cannot_ask_for_a_huge_critic(tmp_path):
    def change(found):
        del found["training"]
        header = json.loads(found["python"]["header"])
        header["settings"]["policy_kwargs"]["net_arch"]["vf"] = [20_000, 20_000]
        found["python"]["header"] = json.dumps(header)

    with pytest.raises(FormatError, match="has no section training, but settings of a critic"):
        TRPO.load(packed(small_model("CartPole-v1"), tmp_path, change))


def test_damage_is_found_wherever_it_is(tmp_path):
    path = tmp_path / "m.bin"
    small_model("CartPole-v1").save(path)
    data = path.read_bytes()
    for at in range(0, len(data), 37):
        bad = bytearray(data)
        bad[at] ^= 1 << at % 8
        for wrong in (bytes(bad), data[:at]):
            path.write_bytes(wrong)
            with pytest.raises(FormatError, match=r"m\.bin"):
                TRPO.load(path)


def with_number(data, number):
    return data[:4] + number.to_bytes(4, "little") + data[8:]


def test_other_formats_say_what_to_do(tmp_path):
    path = tmp_path / "m.bin"
    small_model("CartPole-v1").save(path)
    data = path.read_bytes()
    path.write_bytes(with_number(data, 4))
    with pytest.raises(FormatError, match=r"newer version of fasttrpo.*upgrade"):
        TRPO.load(path)
    path.write_bytes(with_number(data, 2))
    with pytest.raises(FormatError, match="trpo_load"):
        TRPO.load(path)
    path.write_bytes(b"anything else")
    with pytest.raises(FormatError, match="is not a fasttrpo model"):
        TRPO.load(path)


def test_a_policy_alone_gets_a_new_critic(tmp_path):
    model = small_model("CartPole-v1").learn(64)
    model.policy.save(tmp_path / "policy.bin")
    assert "training" not in sections.unpack((tmp_path / "policy.bin").read_bytes())
    loaded = TRPO.load(tmp_path / "policy.bin", "CartPole-v1")
    obs = model.observation_space.sample()
    assert loaded.predict(obs, deterministic=True)[0] == model.predict(obs, deterministic=True)[0]
    loaded.learn(64)


def test_a_checkpoint_continues_bit_for_bit(tmp_path):
    model = small_model("CartPole-v1").learn(64)
    model.save(tmp_path / "m.bin", checkpoint=True)
    loaded = TRPO.load(tmp_path / "m.bin", "CartPole-v1")
    for each in (model, loaded):
        each.learn(64, reset_num_timesteps=False)
    assert same_state(model, loaded)
    assert model.records[-1]["return_mean"] == loaded.records[-1]["return_mean"]


def test_environments_that_c_saved_continue(tmp_path):
    """Without the section of Python, as trpo_add_section leaves it."""
    model = small_model("CartPole-v1").learn(64)
    path = tmp_path / "m.bin"
    model.save(path, checkpoint=True)
    found = sections.unpack(path.read_bytes())
    del found["python"]
    path.write_bytes(sections.pack(found))
    loaded = TRPO.load(path, "CartPole-v1")
    loaded.save(tmp_path / "again.bin", checkpoint=True)
    assert (tmp_path / "again.bin").read_bytes() == path.read_bytes()
    for each in (model, loaded):
        each.learn(64, reset_num_timesteps=False)
    assert same_state(model, loaded)
