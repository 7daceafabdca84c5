"""The presets with peers' semantics: each number as in the peer's source.

`QUOTED` pairs our values with the peer's lines, and names the repository, commit and file. The
step of sb3's preset is compared with one recorded from sb3-contrib (`make_peer_steps.py`).
"""

from __future__ import annotations

from pathlib import Path

import make_peer_steps as peer
import numpy as np
import pytest
from gymnasium import spaces
from helpers import insides
from space_envs import Identity
from tables import table

from fasttrpo import TRPO
from fasttrpo.core.backend import make_agent
from fasttrpo.settings import PEERS as NAMES
from fasttrpo.settings import make_settings
from fasttrpo.settings.agent import resolve
from fasttrpo.settings.peers import PEERS, expand

NET = {"pi": [64, 64], "vf": [64, 64]}
# Our setting -> value; the comment quotes the peer's line.
QUOTED = {
    # sb3-contrib 2.9.2, sb3_contrib/trpo/trpo.py, TRPO.__init__
    "sb3": {
        "n_envs": 1,
        "n_steps": 2048,  # n_steps: int = 2048
        "learning_rate": 1e-3,  # learning_rate: float | Schedule = 1e-3
        "batch_size": 128,  # batch_size: int = 128
        "gamma": 0.99,  # gamma: float = 0.99
        "cg_max_steps": 15,  # cg_max_steps: int = 15
        "cg_damping": 0.1,  # cg_damping: float = 0.1
        "line_search_shrinking_factor": 0.8,  # line_search_shrinking_factor: float = 0.8
        "line_search_max_iter": 10,  # line_search_max_iter: int = 10
        "n_critic_updates": 10,  # n_critic_updates: int = 10
        "gae_lambda": 0.95,  # gae_lambda: float = 0.95
        "normalize_advantage": True,  # normalize_advantage: bool = True
        "target_kl": 0.01,  # target_kl: float = 0.01
        "sub_sampling_factor": 1,  # sub_sampling_factor: int = 1
        # kl_div = kl_divergence(distribution, old_distribution).mean(), a Normal per dimension
        "kl_direction": "reverse",
        "kl_reduction": "mean",
        "kl_slack": 1.0,
        # if (kl_div < self.target_kl) and (new_policy_objective > policy_objective)
        "acceptance": "improvement",
        # stable-baselines3 common/policies.py: net_arch = dict(pi=[64, 64], vf=[64, 64]), nn.Tanh,
        # log_std_init: float = 0.0
        "net_arch": NET,
        "activation_fn": "tanh",
        "log_std_init": 0.0,
    },
    # openai/baselines 4b8bdcc, baselines/trpo_mpi/defaults.py, mujoco(); trpo_mpi.py, learn()
    "baselines": {
        "n_envs": 1,
        "n_steps": 1024,  # timesteps_per_batch=1024
        "target_kl": 0.01,  # max_kl=0.01
        "cg_max_steps": 10,  # cg_iters=10
        "cg_damping": 0.1,  # cg_damping=0.1
        "gamma": 0.99,  # gamma=0.99
        "gae_lambda": 0.98,  # lam=0.98
        "n_critic_updates": 5,  # vf_iters=5
        "learning_rate": 1e-3,  # vf_stepsize=1e-3
        "normalize_observations": True,  # normalize_observations=True
        "sub_sampling_factor": 5,  # fvpargs = [arr[::5] for arr in args]
        "kl_slack": 1.5,  # elif kl > max_kl * 1.5:
        "acceptance": "improvement",  # elif improve < 0:
        "line_search_max_iter": 10,  # for _ in range(10):
        "line_search_shrinking_factor": 0.5,  # stepsize *= .5
        "batch_size": 64,  # iterbatches(..., batch_size=64)
        "kl_direction": "forward",  # kloldnew = oldpi.pd.kl(pi.pd)
        "kl_reduction": "sum",
        "normalize_advantage": True,  # atarg = (atarg - atarg.mean()) / atarg.std()
        "net_arch": {"pi": [32, 32], "vf": [32, 32]},  # mlp(num_hidden=32, num_layers=2)
        "activation_fn": "tanh",
        "log_std_init": 0.0,
    },
    # openai/spinningup 2092113, spinup/algos/tf1/trpo/trpo.py, trpo(); core.py
    "spinningup": {
        "n_envs": 1,
        "n_steps": 4000,  # steps_per_epoch=4000
        "gamma": 0.99,  # gamma=0.99
        "target_kl": 0.01,  # delta=0.01
        "learning_rate": 1e-3,  # vf_lr=1e-3
        "n_critic_updates": 80,  # train_v_iters=80, each on the whole batch
        "batch_size": 4000,
        "cg_damping": 0.1,  # damping_coeff=0.1
        "cg_max_steps": 10,  # cg_iters=10
        "line_search_max_iter": 10,  # backtrack_iters=10
        "line_search_shrinking_factor": 0.8,  # backtrack_coeff=0.8
        "gae_lambda": 0.97,  # lam=0.97
        "acceptance": "improvement",  # if kl <= delta and pi_l_new <= pi_l_old:
        "kl_slack": 1.0,
        "sub_sampling_factor": 1,
        # d_kl = diagonal_gaussian_kl(mu, log_std, old_mu_ph, old_log_std_ph), summed over axis 1
        "kl_direction": "reverse",
        "kl_reduction": "sum",
        "normalize_advantage": True,  # (self.adv_buf - adv_mean) / adv_std
        "net_arch": NET,  # mlp_actor_critic(x, a, hidden_sizes=(64,64), activation=tf.tanh, ...)
        "activation_fn": "tanh",
        "log_std_init": -0.5,  # initializer=-0.5*np.ones(act_dim, dtype=np.float32)
    },
    # thu-ml/tianshou 03132cc, examples/mujoco/mujoco_trpo.py; tianshou 2.0.1 algorithm/modelfree
    "tianshou": {
        "n_envs": 16,  # --num_train_envs 16
        "n_steps": 64,  # --collection_step_num_env_steps 1024
        "learning_rate": "linear_0.001",  # --lr 1e-3, --lr_decay True
        "gamma": 0.99,  # --gamma 0.99
        "gae_lambda": 0.95,  # --gae_lambda 0.95
        "n_critic_updates": 20,  # --optim_critic_iters 20, each on the whole batch
        "batch_size": 1024,  # --batch_size None
        "target_kl": 0.01,  # --max_kl 0.01
        "line_search_shrinking_factor": 0.8,  # --backtrack_coeff 0.8
        "line_search_max_iter": 10,  # --max_backtracks 10
        "cg_max_steps": 10,  # _conjugate_gradients(flat_grads, flat_kl_grad, nsteps=10)
        "cg_damping": 0.1,  # self._damping = 0.1
        "kl_direction": "forward",  # kl_divergence(old_dist, new_dist).mean()
        "kl_reduction": "sum",  # Independent(Normal(loc, scale), 1)
        "acceptance": "improvement",  # if kl < self.max_kl and new_actor_loss < actor_loss:
        "kl_slack": 1.0,
        "sub_sampling_factor": 1,
        "normalize_advantage": True,  # --advantage_normalization 1
        "normalize_observations": True,  # obs_norm=True
        "scale_actions": True,  # action_scaling=True
        "net_arch": NET,  # --hidden_sizes [64, 64]
        "activation_fn": "tanh",  # activation=nn.Tanh
        "log_std_init": -0.5,  # torch.nn.init.constant_(actor.sigma_param, -0.5)
    },
    # aravindr93/mjrl 4a7c219 mjrl/algos/trpo.py; 2e0aae6 examples/train_swimmer.py; 0714f7f
    # mjrl/policies/gaussian_mlp.py; 15be0d3 mjrl/baselines/mlp_baseline.py
    "mjrl": {
        "n_envs": 10,  # num_traj=10,      # samples = 10*500 = 5000
        "n_steps": 500,
        "gamma": 0.995,  # gamma=0.995
        "gae_lambda": 0.97,  # gae_lambda=0.97
        "target_kl": 0.01,  # kl_dist=0.01
        "cg_max_steps": 10,  # FIM_invert_args={'iters': 10, 'damping': 1e-4}
        "cg_damping": 1e-4,
        "sub_sampling_factor": 1,  # hvp_sample_frac=1.0
        "line_search_max_iter": 100,  # for k in range(100):
        "line_search_shrinking_factor": 0.9,  # alpha = 0.9*alpha # backtrack
        "acceptance": "kl",  # if kl_dist < self.kl_dist: break
        "kl_slack": 1.0,
        # sample_kl = torch.sum(Nr / Dr + new_log_std - old_log_std, dim=1), Dr = 2 * new_std ** 2
        "kl_direction": "forward",
        "kl_reduction": "sum",
        "normalize_advantage": True,  # (advantages - np.mean(advantages)) / (np.std(...) + 1e-6)
        "learning_rate": 1e-3,  # MLPBaseline(..., batch_size=64, epochs=2, learn_rate=1e-3)
        "n_critic_updates": 2,
        "batch_size": 64,
        "net_arch": {"pi": [32, 32], "vf": [128, 128]},  # hidden_sizes=(32,32); nn.Linear(128, 128)
        "activation_fn": "tanh",  # self.nonlinearity = torch.tanh
        "log_std_init": 0.0,  # init_log_std=0.0
        "log_std_min": -3.0,  # min_log_std=-3.0
        "log_std_max": 1.0,  # max_log_std=1.0
    },
}


def settings_of(name, policy="MlpPolicy", **keywords):
    return make_settings(policy, expand(policy, {"preset": name, **keywords}))


def flat(settings):
    own = {name: getattr(settings, name) for name in settings.__dataclass_fields__}
    return own | own["policy_kwargs"]


def test_every_preset_is_quoted():
    assert set(QUOTED) == set(PEERS) == set(NAMES)
    assert all(preset.source and preset.not_repeated for preset in PEERS.values())


@table("name", PEERS)
def test_presets_have_the_quoted_numbers(name):
    settings = flat(settings_of(name))
    assert {key: settings[key] for key in QUOTED[name]} == QUOTED[name]
    assert (settings["preconditioner"], settings["critic"]) == ("none", "adam")


@table("name", PEERS)
def test_presets_set_only_quoted_settings(name):
    settings = PEERS[name].settings
    nested = settings["policy_kwargs"]
    unquoted = (set(settings) | set(nested)) - set(QUOTED[name])
    assert unquoted == {"policy_kwargs", "preconditioner", "critic"}


@table("name", PEERS)
def test_presets_learn(name):
    small = {"n_envs": 2, "n_steps": 16, "batch_size": 8, "n_critic_updates": 2}
    model = TRPO("MlpPolicy", "Pendulum-v1", preset=name, seed=0, **small).learn(64)
    assert [record["n_samples"] for record in model.records] == [32, 32]


def test_explicit_keywords_win():
    settings = settings_of("baselines", gamma=0.9, policy_kwargs={"log_std_init": -1.0})
    assert (settings.gamma, settings.gae_lambda) == (0.9, 0.98)
    assert settings.policy_kwargs["log_std_init"] == -1.0
    assert settings.policy_kwargs["net_arch"]["pi"] == [32, 32]


def test_spinningup_uses_the_forward_kl_for_categorical_policies():
    """spinup/algos/tf1/trpo/core.py: d_kl = categorical_kl(logp_all, old_logp_all_ph), which is
    tf.reduce_sum(tf.exp(logp1) * (logp1 - logp0), axis=1): the expectation under the old policy."""

    def direction(env, **keywords):
        model = TRPO("MlpPolicy", env, preset="spinningup", seed=0, **keywords)
        assert insides(model).agent.settings.kl_direction == model.settings.kl_direction
        return model.settings.kl_direction

    assert direction("CartPole-v1") == "forward"
    assert direction("Pendulum-v1") == "reverse"
    assert direction("CartPole-v1", kl_direction="reverse") == "reverse"


@pytest.mark.parametrize("space", [spaces.Discrete(3), spaces.MultiBinary(3)], ids=str)
def test_tianshou_scales_only_the_actions_of_a_box(space, recwarn):
    """tianshou 2.0.1, algorithm/algorithm_base.py: Policy.__init__: "action_scaling can only be
    True when action_space is Box"."""
    model = TRPO("MlpPolicy", Identity(space), preset="tianshou", batch_size=64)
    assert not model.settings.scale_actions
    assert not [w for w in recwarn if "scale_actions" in str(w.message)]
    assert TRPO("MlpPolicy", "Pendulum-v1", preset="tianshou").settings.scale_actions


def test_other_numbers_of_environments_keep_the_rows_per_iteration():
    assert settings_of("tianshou", n_envs=4).n_steps == 256
    assert settings_of("tianshou", n_envs=4, n_steps=8).n_steps == 8
    assert expand("MlpPolicy", {"preset": "tianshou"}, n_envs=2)["n_steps"] == 512


def test_a_linear_policy_keeps_the_critic_of_the_preset():
    arch = settings_of("mjrl", "LinearPolicy").policy_kwargs["net_arch"]
    assert arch == {"pi": [], "vf": [128, 128]}


def test_an_unknown_preset_suggests_the_nearest():
    with pytest.raises(ValueError, match="unknown preset 'baseline'; did you mean 'baselines'"):
        TRPO("MlpPolicy", "Pendulum-v1", preset="baseline")


@table("n_envs", ["3", 2.5, -1, 0])
def test_an_invalid_number_of_environments_is_named(n_envs):
    with pytest.raises(ValueError, match="n_envs must be an integer from 1"):
        TRPO("MlpPolicy", "Pendulum-v1", preset="sb3", n_envs=n_envs)


def test_a_saved_model_keeps_its_preset(tmp_path):
    model = TRPO("MlpPolicy", "Pendulum-v1", preset="sb3", n_steps=8, batch_size=4)
    model.save(tmp_path / "m")
    assert TRPO.load(tmp_path / "m").settings == model.settings
    with pytest.raises(TypeError, match="preset of a saved model cannot be changed"):
        TRPO.load(tmp_path / "m", preset="mjrl")


# -- sb3-contrib's recorded step ------------------------------------------------------------------


def agent_of(batch):
    """A float64 agent with the preset's settings and the batch's policy and rows."""
    arch = {"pi": batch["policy_hidden"].tolist(), "vf": batch["value_hidden"].tolist()}
    settings = settings_of("sb3", policy_kwargs={"net_arch": arch})
    n = int(batch["n_outputs"])
    distribution = ("gaussian", (1,) * n) if batch["is_gaussian"] else ("categorical", (n,))
    agent = make_agent(resolve(settings, batch["obs"].shape[1], *distribution), None, "float64")
    agent.theta = batch["theta"].astype(np.float64)
    adv, logp = peer.normalized_advantages(batch), batch["log_probs"].astype(np.float64)
    agent.theory.load_batch(batch["obs"], batch["actions"], adv, None, logp)
    return agent


@pytest.mark.parametrize("name", peer.NAMES)
def test_the_sb3_preset_takes_the_recorded_step(name):
    """The step of sb3-contrib's code on the same batch, and the KL it logs.

    1e-4: on CartPole CG ends at its relative residual of 1e-5, where the recorded one continued.
    """
    with np.load(Path(__file__).parent / "data" / f"{name}.npz") as file:
        batch = dict(file)
    agent = agent_of(batch)
    x, info = agent.theory.solve()
    dims = peer.kl_dims(batch)
    step = np.sqrt(2 * dims * 0.01 / info["curvature"]) * x
    assert peer.relative_difference(step, batch["peer_step"]) <= 1e-4
    surr, kl, _ = agent.theory.evaluate(batch["theta"] + step)
    assert kl == pytest.approx(dims * float(batch["peer_kl"]), rel=1e-4)
    assert surr == pytest.approx(float(batch["peer_surr"]), rel=1e-3)
    assert kl <= dims * 0.01
