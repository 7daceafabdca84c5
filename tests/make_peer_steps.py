"""Makes ``tests/data/*.npz``: recorded batches, and sb3-contrib's policy step on each.

Run by hand, with the peer installed (``pip install 'fasttrpo[peer]'``)::

    python tests/make_peer_steps.py RECORDED_BATCHES [--out tests/data]

RECORDED_BATCHES is a folder of ``cartpole.npz``, ``halfcheetah.npz`` and ``hopper.npz``, each one
rollout of a half-trained sb3-contrib agent: ``obs`` (T, E, O), ``actions`` (T, E, D), ``values``,
``log_probs``, ``advantages``, ``returns`` (T, E), the following rollout's ``next_obs`` and
``next_returns``, both networks' ``{policy,value}_w{l}`` (out, in) and ``_b{l}`` (out,), and, for
Gaussian policies, ``log_std``. The first 256 steps of 8 environments are kept: N = 2,048 rows,
row n = t * E + e. Networks are stored as this library lays them out: ``theta`` is, layer after
layer, the ((in + 1) x out) row-major matrix whose last row is the bias, then ``log_std``;
``value_theta`` the same without ``log_std``; ``*_hidden`` are the widths of the hidden layers.

Each batch then goes through the unmodified ``sb3_contrib.TRPO.train()`` with its default trust
region (target_kl 0.01, cg_damping 0.1, 15 iterations, backtracking 0.8 x 10). ``peer_*`` are the
results; ``peer_step`` is theta after minus theta before. Before a file is written, the same step
is computed a second way (`dense_step`): in NumPy with a dense Fisher matrix.

How the peer's step is made comparable with this library's
-----------------------------------------------------------
* Trust region. For a Gaussian over A action dimensions the peer averages the KL over dimensions
  as well as samples; here it is summed over dimensions. Its Hessian is therefore F/A + 0.1 I
  with F our Fisher matrix, and its step is ours at target_kl = A * 0.01, cg_damping = A * 0.1:
  from (F/A + 0.1 I) y = g follows y = A x with (F + 0.1 A I) x = g, and both give
  beta * direction = sqrt(2 * 0.01 * A / x'(F + 0.1 A I)x) * x. CG's iterates scale alike, so
  this holds after any number of iterations. Categorical policies need no conversion (A = 1).
* Hessian. The peer differentiates mean KL(new || old) twice at new = old, this library uses
  the Fisher matrix J'MJ. Both are the same matrix, since the KL's Hessian at zero distance does
  not depend on the direction; log_std is included (a 2 I block, 2/A I after averaging).
* Damping is inside the step length on both sides: beta = sqrt(2 target_kl / x'(F + damping I)x).
* Line search. The peer accepts on KL(new || old) < target_kl and surrogate > the old one, this
  library on KL(old || new) <= target_kl. They only differ for a trial on the boundary; on these
  batches both take the full step (``peer_backtracks`` 0, KL about half the budget).
  The peer's logged KL (``peer_kl``) is new || old and a mean over dimensions.
* Conjugate gradients. The peer starts from x0 = 1e-4 * noise and stops when ||r||^2 < 1e-10.
  Both are absolute, so their effect depends on the scale of the advantages, while the step
  itself does not. At unit variance they move the step by 0.5e-4 (CartPole, where CG
  stops after 9 iterations), 1.2e-4 (HalfCheetah) and 3.7e-4 (Hopper), relative. The peer is
  therefore given 1,000 times the normalised advantages (and normalize_advantage=False), which
  makes both negligible; ``peer_surr`` is divided by 1,000 again.
* Advantages are normalised beforehand for both sides, (adv - mean) / (std + 1e-8) with the
population's std. The peer's own normalisation uses the sample's (N - 1): a constant factor.
* Rounding. In float32 the peer's step changes with the seed, which decides x0 and the order of
  the rows, because 15 iterations of CG amplify rounding: over 20 seeds it differs by 0.5e-4
  (CartPole), 1.2e-4 to 2.1e-4 (HalfCheetah), 3.7e-4 to 2e-3 (Hopper), x0 included. ``peer_step`` is
  therefore computed in float64: torch's default dtype, and a features extractor that keeps it for
  the observations. It agrees with `dense_step` to 1e-6. ``peer_stock_difference`` is the difference
  of the unmodified peer (float32, x0, its own normalisation) from it for seeds 0 to 3.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import itertools
from pathlib import Path

import numpy as np

NAMES = ("cartpole", "halfcheetah", "hopper")
STEPS, ENVS = 256, 8
PEER_SETTINGS = {
    "target_kl": 0.01,
    "cg_damping": 0.1,
    "cg_max_steps": 15,
    "line_search_shrinking_factor": 0.8,
    "line_search_max_iter": 10,
}
ADVANTAGE_SCALE = 1000.0
AGREEMENT = 1e-5  # relative, between the peer in float64 and dense algebra
STOCK_SEEDS = (0, 1, 2, 3)


# ---------------------------------------------------------------- batches


def flatten_net(batch, net):
    """All layers of `net` ("policy" or "value") in our layout, and the hidden layers' widths."""
    layers = []
    while f"{net}_w{len(layers)}" in batch:
        w, b = batch[f"{net}_w{len(layers)}"], batch[f"{net}_b{len(layers)}"]
        layers.append(np.vstack([w.T, b]))
    hidden = np.array([layer.shape[1] for layer in layers[:-1]])
    return np.concatenate([layer.ravel() for layer in layers]), hidden


def unflatten_net(theta, sizes):
    """The layers' ((in + 1) x out) matrices as views of `theta`; sizes = (in, hidden.., out)."""
    layers, start = [], 0
    for k, m in itertools.pairwise(sizes):
        layers.append(theta[start : start + (k + 1) * m].reshape(k + 1, m))
        start += (k + 1) * m
    return layers


def cut(recorded):
    """The first STEPS x ENVS rows of a recorded batch, flat, and its networks in our layout."""
    rows = ("obs", "actions", "values", "log_probs", "advantages", "returns", "next_obs")
    batch = {}
    for name in (*rows, "next_returns"):
        part = recorded[name][:STEPS, :ENVS]
        batch[name] = part.reshape(STEPS * ENVS, *part.shape[2:])
    theta, batch["policy_hidden"] = flatten_net(recorded, "policy")
    batch["value_theta"], batch["value_hidden"] = flatten_net(recorded, "value")
    log_std = recorded["log_std"] if "log_std" in recorded else np.empty(0, np.float32)
    batch["theta"] = np.concatenate([theta, log_std])
    batch["n_outputs"] = np.array(recorded[f"policy_b{len(batch['policy_hidden'])}"].size)
    batch["is_gaussian"] = np.array("log_std" in recorded)
    return batch


def policy_sizes(batch):
    """(observation size, hidden widths..., outputs) of the batch's policy."""
    return (batch["obs"].shape[1], *map(int, batch["policy_hidden"]), int(batch["n_outputs"]))


def value_sizes(batch):
    """(observation size, hidden widths..., 1) of the batch's value network."""
    return (batch["obs"].shape[1], *map(int, batch["value_hidden"]), 1)


def normalized_advantages(batch):
    """(adv - mean) / (std + 1e-8), population std, in float64."""
    adv = batch["advantages"].astype(np.float64)
    return (adv - adv.mean()) / (adv.std() + 1e-8)


def kl_dims(batch):
    """The ratio of our summed KL to the peer's mean KL: A if Gaussian, else 1."""
    return int(batch["n_outputs"]) if batch["is_gaussian"] else 1


# ---------------------------------------------------------------- the peer


def spaces_only_env(batch):
    """A vector environment with the batch's spaces, which is never stepped."""
    import gymnasium as gym
    from stable_baselines3.common.vec_env import DummyVecEnv

    n_outputs = int(batch["n_outputs"])

    class SpacesOnly(gym.Env):
        observation_space = gym.spaces.Box(-np.inf, np.inf, batch["obs"].shape[1:], np.float32)
        if batch["is_gaussian"]:
            action_space = gym.spaces.Box(-1.0, 1.0, (n_outputs,), np.float32)
        else:
            action_space = gym.spaces.Discrete(n_outputs)

    return DummyVecEnv([SpacesOnly] * ENVS)


def peer_parameters(batch):
    """(name in the peer's state_dict, our layer as a view), policy first, in order of layers."""
    pairs = []
    for net, theta, sizes, head in (
        ("policy_net", batch["theta"], policy_sizes(batch), "action_net"),
        ("value_net", batch["value_theta"], value_sizes(batch), "value_net"),
    ):
        layers = unflatten_net(theta, sizes)
        names = [f"mlp_extractor.{net}.{2 * i}" for i in range(len(layers) - 1)]
        pairs += zip([*names, head], layers, strict=True)
    return pairs


def load_weights(policy, batch):
    """Copy the batch's networks into the peer's policy; every parameter must be named."""
    import torch as th

    state = {}
    for name, layer in peer_parameters(batch):
        state[f"{name}.weight"] = th.tensor(layer[:-1].T.copy())
        state[f"{name}.bias"] = th.tensor(layer[-1].copy())
    if batch["is_gaussian"]:
        state["log_std"] = th.tensor(batch["theta"][-int(batch["n_outputs"]) :].copy())
    policy.load_state_dict(state, strict=True)


def read_theta(policy, batch):
    """The peer's policy parameters in our layout, in the peer's dtype."""
    state = {name: value.numpy(force=True).copy() for name, value in policy.state_dict().items()}
    parts = [
        np.vstack([state[f"{name}.weight"].T, state[f"{name}.bias"]]).ravel()
        for name, _ in peer_parameters(batch)[: len(batch["policy_hidden"]) + 1]
    ]
    return np.concatenate([*parts, state["log_std"]] if batch["is_gaussian"] else parts)


def fill_rollout(buffer, batch, advantages):
    """Put the batch into the peer's rollout buffer as if it had been collected."""

    def steps(flat):
        return flat.reshape(STEPS, ENVS, *flat.shape[1:]).astype(np.float32)

    buffer.reset()
    buffer.observations[...] = steps(batch["obs"])
    buffer.actions[...] = steps(batch["actions"])
    buffer.values[...] = steps(batch["values"])
    buffer.log_probs[...] = steps(batch["log_probs"])
    buffer.returns[...] = steps(batch["returns"])
    buffer.advantages[...] = steps(advantages)
    buffer.pos, buffer.full = STEPS, True


def peer_model(batch, seed, advantages, **kwargs):
    """An sb3-contrib TRPO holding the batch's networks and rollout."""
    import torch as th
    from sb3_contrib import TRPO
    from stable_baselines3.common.logger import Logger
    from stable_baselines3.common.torch_layers import FlattenExtractor

    class DefaultDtype(FlattenExtractor):  # the peer's preprocessing produces float32
        def forward(self, observations):
            return super().forward(observations).to(th.get_default_dtype())

    nets = {"pi": list(policy_sizes(batch)[1:-1]), "vf": list(value_sizes(batch)[1:-1])}
    policy_kwargs = {"net_arch": nets, "features_extractor_class": DefaultDtype}
    model = TRPO(
        "MlpPolicy",
        spaces_only_env(batch),
        n_steps=STEPS,
        batch_size=STEPS * ENVS,
        n_critic_updates=1,
        policy_kwargs=policy_kwargs,
        seed=seed,
        device="cpu",
        **PEER_SETTINGS,
        **kwargs,
    )
    model.set_logger(Logger(folder=None, output_formats=[]))
    load_weights(model.policy, batch)
    fill_rollout(model.rollout_buffer, batch, advantages)
    return model


def train(model, batch):
    """Run the peer's own ``train()``; returns (theta after - theta before, what it logged).

    Its critic is a separate network, so its one critic step leaves the policy unchanged.
    """
    before = read_theta(model.policy, batch)
    if not np.array_equal(before, batch["theta"]):
        raise AssertionError("the peer did not load the recorded weights")
    model.train()
    return read_theta(model.policy, batch) - before, model.logger.name_to_value


@contextlib.contextmanager
def torch_dtype(name):
    """Sets torch's default dtype and one thread (one order of summation), then restores both."""
    import torch as th

    dtype, threads = th.get_default_dtype(), th.get_num_threads()
    th.set_default_dtype(getattr(th, name))
    th.set_num_threads(1)
    try:
        yield
    finally:
        th.set_default_dtype(dtype)
        th.set_num_threads(threads)


def peer_step(batch, seed=0):
    """The peer's step in float64 with negligible x0 and CG tolerance: ``peer_*`` arrays."""
    with torch_dtype("float64"):
        advantages = normalized_advantages(batch) * ADVANTAGE_SCALE
        model = peer_model(batch, seed, advantages, normalize_advantage=False)
        step, logged = train(model, batch)
    return {
        "peer_step": step.astype(np.float32),
        "peer_surr": np.array(logged["train/policy_objective"] / ADVANTAGE_SCALE),
        "peer_kl": np.array(logged["train/kl_divergence_loss"]),
        "peer_accepted": np.array(bool(logged["train/is_line_search_success"])),
        "peer_versions": np.array(peer_versions()),
        **{f"peer_{name}": np.array(value) for name, value in PEER_SETTINGS.items()},
    }


def stock_step(batch, seed):
    """The unmodified peer's step: float32, its own normalisation of the recorded advantages."""
    with torch_dtype("float32"):
        return train(peer_model(batch, seed, batch["advantages"]), batch)[0]


def peer_versions():
    """["torch 2.x", ...]: the versions that computed the step."""
    packages = ("torch", "stable-baselines3", "sb3-contrib")
    return [f"{name} {importlib.metadata.version(name)}" for name in packages]


# ---------------------------------------------------------------- the same step, by dense algebra


def activations(layers, x):
    """[h_0 1], [h_1 1], ... of a tanh network on rows `x`, and its outputs."""
    inputs = []
    for i, w in enumerate(layers):
        inputs.append(np.hstack([x, np.ones((len(x), 1))]))
        x = inputs[-1] @ w
        if i < len(layers) - 1:
            x = np.tanh(x)
    return inputs, x


def output_jacobian(layers, inputs, j):
    """d output_j / d theta_net for each row, (N, P): backpropagation of the j-th unit vector."""
    dz = np.zeros((len(inputs[0]), layers[-1].shape[1]))
    dz[:, j] = 1.0
    blocks = []
    for i in reversed(range(len(layers))):
        blocks.append((inputs[i][:, :, None] * dz[:, None, :]).reshape(len(dz), -1))
        if i > 0:
            dz = (dz @ layers[i][:-1].T) * (1.0 - inputs[i][:, :-1] ** 2)
    return np.hstack(blocks[::-1])


def jacobian(layers, x):
    """The outputs (N, A) and d output / d theta_net (N, A, P)."""
    inputs, out = activations(layers, x)
    return out, np.stack([output_jacobian(layers, inputs, j) for j in range(out.shape[1])], axis=1)


def score_and_metric(batch, out, rows):
    """dlogp / d output (N, A), the metric M (N, A, A), dlogp / d log_std (N, A or 0)."""
    actions, n_outputs = batch["actions"][rows].astype(np.float64), out.shape[1]
    if batch["is_gaussian"]:
        sigma = np.exp(batch["theta"][-n_outputs:].astype(np.float64))
        z = (actions - out) / sigma
        metric = np.broadcast_to(np.diag(sigma**-2), (len(out), n_outputs, n_outputs))
        return z / sigma, metric, z**2 - 1.0
    p = np.exp(out - out.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    metric = p[:, :, None] * np.eye(n_outputs) - p[:, :, None] * p[:, None, :]
    return np.eye(n_outputs)[actions[:, 0].astype(int)] - p, metric, np.empty((len(out), 0))


def dense_gradient_and_fisher(batch, block=256):
    """g (P,) and F (P, P) at the batch's theta, with ratio 1; float64, in blocks of rows."""
    layers = unflatten_net(batch["theta"].astype(np.float64), policy_sizes(batch))
    n, n_params = len(batch["obs"]), len(batch["theta"])
    n_net = sum(layer.size for layer in layers)
    grad, fisher = np.zeros(n_params), np.zeros((n_params, n_params))
    adv = normalized_advantages(batch)
    for start in range(0, n, block):
        rows = slice(start, start + block)
        out, jac = jacobian(layers, batch["obs"][rows].astype(np.float64))
        score, metric, score_log_std = score_and_metric(batch, out, rows)
        grad[:n_net] += np.einsum("n,na,nap->p", adv[rows], score, jac, optimize=True) / n
        grad[n_net:] += adv[rows] @ score_log_std / n
        weighted = np.einsum("nab,nbp->nap", metric, jac, optimize=True)
        flat = (-1, n_net)
        fisher[:n_net, :n_net] += jac.reshape(flat).T @ weighted.reshape(flat) / n
    fisher[n_net:, n_net:] = 2.0 * np.eye(n_params - n_net)
    return grad, fisher


def plain_cg(matrix, b, n_steps):
    """`n_steps` iterations of conjugate gradients on matrix x = b from x = 0."""
    x, r, p = np.zeros_like(b), b.copy(), b.copy()
    rr = r @ r
    for _ in range(n_steps):
        q = matrix @ p
        x += (rr / (p @ q)) * p
        r -= (rr / (p @ q)) * q
        rr, rr_old = r @ r, rr
        p = r + (rr / rr_old) * p
    return x


def dense_step(batch):
    """The full step beta x (before backtracking) with the Fisher matrix formed densely, float64."""
    grad, fisher = dense_gradient_and_fisher(batch)
    dims = kl_dims(batch)
    hessian = fisher + dims * PEER_SETTINGS["cg_damping"] * np.eye(len(grad))
    x = plain_cg(hessian, grad, PEER_SETTINGS["cg_max_steps"])
    return np.sqrt(2 * dims * PEER_SETTINGS["target_kl"] / (x @ hessian @ x)) * x


def relative_difference(step, reference):
    """||step - reference|| / ||reference||, in float64."""
    reference = np.asarray(reference, np.float64)
    return np.linalg.norm(step - reference) / np.linalg.norm(reference)


def compare(batch, step):
    """(backtracks of the peer's line search, how far dense algebra is from the peer's step)."""
    full = dense_step(batch)
    shrink = PEER_SETTINGS["line_search_shrinking_factor"]
    backtracks = round(np.log(np.linalg.norm(step) / np.linalg.norm(full)) / np.log(shrink))
    return backtracks, relative_difference(shrink**backtracks * full, step)


# ---------------------------------------------------------------- files


def make(source, target):
    """Cut, step, check and write one batch."""
    with np.load(source) as recorded:
        batch = cut(recorded)
    peer = peer_step(batch)
    step = peer["peer_step"]
    backtracks, difference = compare(batch, step)
    stock = np.array([relative_difference(stock_step(batch, s), step) for s in STOCK_SEEDS])
    print(
        f"{target.name}: backtracks {backtracks}, KL {peer['peer_kl']:.6f}; relative difference "
        f"of dense algebra {difference:.1e}, of the float32 runs {stock.round(6)}"
    )
    if not peer["peer_accepted"] or difference > AGREEMENT:
        raise AssertionError(f"{target.name}: the peer's step is not the dense step; not written")
    peer |= {"peer_backtracks": np.array(backtracks), "peer_stock_difference": stock}
    np.savez_compressed(target, **batch, **peer)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("batches", type=Path, help="folder of recorded batches")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        make(args.batches / f"{name}.npz", args.out / f"{name}.npz")


if __name__ == "__main__":
    main()
