"""Environments in subprocesses, each interrupting a step or a reset in a different way."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import numpy as np
from helpers import Counter

MAIN = os.getpid()
LENGTH = 7
AT = 13


def interrupt(env):
    """Ctrl-C in the main process during a step of this one."""
    os.kill(MAIN, signal.SIGINT)
    time.sleep(0.2)


def interrupt_all(env):
    """Ctrl-C in a terminal: every process gets it."""
    os.kill(MAIN, signal.SIGINT)
    raise KeyboardInterrupt


def fail(env):
    raise OSError("the wheel came off")


def die(env):
    os._exit(3)


class Breaking(Counter):
    """Its first instance does `how` in step AT; later instances do not."""

    def __init__(self, how, made):
        super().__init__(LENGTH)
        self.how, self.count, self.seeds = how, 0, []
        with made.get_lock():
            self.is_first = made.value < 2  # vector environments make a first one for its spaces
            made.value += 1

    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed)
        if self.how == "interrupted reset" and self.is_first and self.episode == 1:
            interrupt(self)
        return obs, info

    def step(self, action):
        self.count += 1
        if self.count == AT and callable(self.how) and self.is_first:
            self.how(self)
        return super().step(action)


def makers(how):
    """Makers of three environments; the second one fails."""
    counts = [multiprocessing.Value("i", 0 if e == 0 else 1) for e in range(3)]
    hows = (None, how, None)
    return [lambda h=h, c=c: Breaking(h, c) for h, c in zip(hows, counts, strict=True)]


class SubprocVecEnv:
    """The part of SB3's SubprocVecEnv that is needed here, written from its documentation."""

    def __init__(self, env_fns):
        self.num_envs, self.waiting, self.closed = len(env_fns), False, False
        context = multiprocessing.get_context("fork")
        self.remotes, self.processes = [], []
        for make in env_fns:  # one at a time, so that no process holds another one's end
            remote, work = context.Pipe()
            process = context.Process(target=_serve, args=(work, remote, make), daemon=True)
            process.start()
            work.close()
            self.remotes.append(remote)
            self.processes.append(process)
        self.remotes[0].send(("get_spaces", None))
        self.observation_space, self.action_space = self.remotes[0].recv()

    def seed(self, seed):
        pass

    def _ask(self, command, each):
        for remote, data in zip(self.remotes, each, strict=True):
            remote.send((command, data))

    def _answers(self):
        return [remote.recv() for remote in self.remotes]

    def reset(self):
        self._ask("reset", [None] * self.num_envs)
        obs, self.reset_infos = zip(*self._answers(), strict=True)
        return np.stack(obs)

    def step_async(self, actions):
        self._ask("step", actions)
        self.waiting = True

    def step_wait(self):
        obs, rewards, dones, infos = zip(*self._answers(), strict=True)
        self.waiting = False
        return np.stack(obs), np.stack(rewards), np.stack(dones), infos

    def close(self):
        for process in self.processes:
            process.terminate()
            process.join()
        self.closed = True


def _serve(work, remote, make):
    remote.close()
    env = make()
    try:
        while True:
            command, data = work.recv()
            if command == "get_spaces":
                work.send((env.observation_space, env.action_space))
            elif command == "reset":
                work.send(env.reset())
            else:
                obs, reward, terminated, truncated, info = env.step(data)
                if terminated or truncated:
                    info = {"terminal_observation": obs}
                    obs, _ = env.reset()
                work.send((obs, reward, terminated or truncated, info))
    except (EOFError, KeyboardInterrupt):
        pass
