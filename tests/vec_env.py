"""CartPoles with the calls of Stable-Baselines3's `VecEnv`, written from its documentation."""

import gymnasium
import numpy as np


class VecCartPole:
    """E Gymnasium environments; an episode's last step starts the next episode."""

    def __init__(self, num_envs, limit=500):
        self.envs = [
            gymnasium.make("CartPole-v1", max_episode_steps=limit) for _ in range(num_envs)
        ]
        self.num_envs = num_envs
        self.observation_space = self.envs[0].observation_space
        self.action_space = self.envs[0].action_space
        self.seeds = [None] * num_envs

    def seed(self, seed):
        self.seeds = [seed + e for e in range(self.num_envs)]

    def reset(self):
        rows = [env.reset(seed=seed)[0] for env, seed in zip(self.envs, self.seeds, strict=True)]
        self.seeds = [None] * self.num_envs
        return np.stack(rows)

    def step(self, actions):
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions):
        self.actions = actions

    def step_wait(self):
        rows = [self._step(*each) for each in zip(self.envs, self.actions, strict=True)]
        obs, rewards, dones, infos = zip(*rows, strict=True)
        return np.stack(obs), np.array(rewards, np.float32), np.array(dones), list(infos)

    def _step(self, env, action):
        obs, reward, terminated, truncated, _ = env.step(action)
        info = {"TimeLimit.truncated": truncated and not terminated}
        if terminated or truncated:
            info["terminal_observation"] = obs
            obs, _ = env.reset()
        return obs, reward, terminated or truncated, info

    def env_method(self, name, *args, indices=None, **kwargs):
        return [getattr(env, name)(*args, **kwargs) for env in self.envs]

    def get_attr(self, name, indices=None):
        return [getattr(env, name) for env in self.envs]

    def close(self):
        for env in self.envs:
            env.close()
