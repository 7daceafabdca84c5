"""tianshou's TRPO on a recorded rollout: its update of actor and critic, with its defaults.

Not timed: its preprocessing (advantages, old log-probabilities), which is included in ours.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np

from bench.batches import Recorded
from bench.peers.torch_peer import layers_of


def _algorithm(batch: Recorded) -> Any:
    """TRPO with its defaults and 64-64 networks."""
    import gymnasium as gym
    import torch
    from tianshou.algorithm import TRPO
    from tianshou.algorithm.modelfree.reinforce import ProbabilisticActorPolicy
    from tianshou.algorithm.optim import AdamOptimizerFactory
    from tianshou.utils.net.common import Net
    from tianshou.utils.net.continuous import ContinuousActorProbabilistic, ContinuousCritic

    def net() -> Net:
        hidden = list(batch.shape.hidden)
        return Net(state_shape=batch.shape.obs_size, hidden_sizes=hidden, activation=torch.nn.Tanh)

    def gaussian(loc_scale: tuple) -> torch.distributions.Distribution:
        return torch.distributions.Independent(torch.distributions.Normal(*loc_scale), 1)

    policy = ProbabilisticActorPolicy(
        actor=ContinuousActorProbabilistic(
            preprocess_net=net(), action_shape=(batch.shape.outputs,), unbounded=True
        ),
        dist_fn=gaussian,
        action_space=gym.spaces.Box(-1.0, 1.0, (batch.shape.outputs,), np.float32),
    )
    critic = ContinuousCritic(preprocess_net=net())
    return TRPO(policy=policy, critic=critic, optim=AdamOptimizerFactory(lr=1e-3))


def _linears(module: Any) -> list:
    """The Linear layers of a module, inputs first."""
    import torch

    return [each for each in module.modules() if isinstance(each, torch.nn.Linear)]


def _load(module: Any, theta: np.ndarray, sizes: tuple[int, ...]) -> None:
    import torch

    with torch.no_grad():
        for linear, layer in zip(_linears(module), layers_of(theta, sizes), strict=True):
            linear.weight.copy_(torch.tensor(layer[:-1].T.copy()))
            linear.bias.copy_(torch.tensor(layer[-1].copy()))


class Update:
    """One update, repeated from the same state."""

    def __init__(self, batch: Recorded, adv: np.ndarray, ret: np.ndarray):
        import torch

        self._batch, self._algorithm = batch, _algorithm(batch)
        self._actor, self._critic = self._algorithm.policy.actor, self._algorithm.critic
        sizes = batch.shape.sizes
        _load(self._actor, batch.theta, sizes)
        _load(self._critic, batch.value_theta, (*sizes[:-1], 1))
        with torch.no_grad():
            log_std = torch.tensor(batch.theta[-batch.shape.outputs :])
            self._actor.sigma_param.copy_(log_std.reshape(-1, 1))
        self._start = copy.deepcopy(self._algorithm.state_dict())
        self._data = self._preprocessed(adv.ravel(), ret.ravel())

    def _preprocessed(self, adv: np.ndarray, ret: np.ndarray) -> Any:
        """The data that its preprocessing passes to its update, normalised by the sample's std."""
        import torch
        from tianshou.data import Batch

        obs, act = (torch.tensor(self._batch.flat(name)) for name in ("obs", "act"))
        with torch.no_grad():
            logp = self._algorithm.policy(Batch(obs=obs, info=Batch())).dist.log_prob(act)
        normal = (adv - adv.mean()) / adv.std(ddof=1)
        returns, advantages = (torch.tensor(x, dtype=torch.float32) for x in (ret, normal))
        fields = {"obs": obs, "act": act, "returns": returns, "adv": advantages}
        return Batch(**fields, logp_old=logp, info=Batch())

    def seed(self, seed: int) -> None:
        """Sets the seed of minibatches from now on."""
        import torch

        np.random.seed(seed)  # noqa: NPY002 (its buffers use the global generator)
        torch.manual_seed(seed)

    def prepare(self) -> None:
        """Restores networks and optimizer."""
        self._algorithm.load_state_dict(copy.deepcopy(self._start))

    def run(self) -> None:
        """Runs the update."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns at each backtracked step
            # Its public `update` samples and preprocesses the batch too.
            self._algorithm._update_with_batch(self._data, batch_size=None, repeat=1)  # noqa: SLF001

    @property
    def step(self) -> np.ndarray:
        """theta after minus theta before, in our layout."""
        blocks = [
            np.vstack([linear.weight.detach().numpy().T, linear.bias.detach().numpy()]).ravel()
            for linear in _linears(self._actor)
        ]
        log_std = self._actor.sigma_param.detach().numpy().ravel()
        return np.concatenate([*blocks, log_std]).astype(np.float64) - self._batch.theta

    def values(self, obs: np.ndarray) -> np.ndarray:
        """V (n,) of the current critic."""
        import torch

        with torch.no_grad():
            return self._critic(torch.tensor(obs)).numpy().ravel()
