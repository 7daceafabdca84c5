"""sb3-contrib's TRPO as its users run it, and asked after each iteration whether it goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class _Acting:
    """`predict` on observations as the environment has them."""

    def __init__(self, model: Any) -> None:
        self._model, self._normalizer = model, model.get_vec_normalize_env()

    def predict(self, obs: Any, deterministic: bool = False) -> Any:
        if self._normalizer is not None:
            obs = self._normalizer.normalize_obs(obs)
        return self._model.predict(obs, deterministic=deterministic)


def make(env_id: str, seed: int, settings: dict[str, Any], **keywords: Any) -> Any:
    """The model; of `settings`, `n_envs` and `normalize` are about its environments."""
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
    goes_on: Callable[[Any, int], bool],
) -> None:
    """Until `goes_on(model, steps)`, called after each iteration, says no."""
    from stable_baselines3.common.callbacks import BaseCallback

    model = make(env_id, seed, settings)
    acting = _Acting(model)

    class Asking(BaseCallback):
        going = True

        def _on_rollout_start(self) -> None:
            if self.num_timesteps:
                self.going = goes_on(acting, self.num_timesteps)

        def _on_step(self) -> bool:
            return self.going

    model.learn(limit, callback=Asking())
