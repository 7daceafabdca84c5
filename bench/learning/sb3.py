"""sb3-contrib's TRPO as its users run it, with a function that ends training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class _Acting:
    """`predict` on unnormalised observations."""

    def __init__(self, model: Any) -> None:
        self._model, self._normalizer = model, model.get_vec_normalize_env()

    def predict(self, obs: Any, deterministic: bool = False) -> Any:
        if self._normalizer is not None:
            obs = self._normalizer.normalize_obs(obs)
        return self._model.predict(obs, deterministic=deterministic)


def make(env_id: str, seed: int, settings: dict[str, Any], **keywords: Any) -> Any:
    """Makes the model; `n_envs` and `normalize` in `settings` concern its environments."""
    from sb3_contrib import TRPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    own = dict(settings)
    env = make_vec_env(env_id, n_envs=own.pop("n_envs", 1), seed=seed, **keywords)
    if own.pop("normalize", False):
        env = VecNormalize(env, gamma=own.get("gamma", 0.99))
    return TRPO("MlpPolicy", env, seed=seed, device="cpu", **own)


def train(
    env_id: str,
    seed: int,
    settings: dict[str, Any],
    limit: int,
    should_continue: Callable[[Any, int], bool],
) -> None:
    """Trains until `should_continue(model, steps)`, called after each iteration, returns False."""
    from stable_baselines3.common.callbacks import BaseCallback

    model = make(env_id, seed, settings)
    acting = _Acting(model)

    class Stopping(BaseCallback):
        is_running = True

        def _on_rollout_start(self) -> None:
            if self.num_timesteps:
                self.is_running = should_continue(acting, self.num_timesteps)

        def _on_step(self) -> bool:
            return self.is_running

    model.learn(limit, callback=Stopping())
