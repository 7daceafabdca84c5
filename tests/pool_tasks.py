"""Tasks for the tests' process pool."""

from __future__ import annotations

import os
import signal
import time

import numpy as np


def work(task, tell):
    """Does what its name says, and reports its process id.

    "threads"   returns the number of threads after some linear algebra
    "variable"  returns an environment variable
    """
    tell(os.getpid())
    if task == "fail":
        raise ValueError("no\nluck")
    if task == "exit":
        os._exit(3)
    if task == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "threads":
        np.ones((600, 600)) @ np.ones((600, 600))
        return len(os.listdir("/proc/self/task"))
    if task == "variable":
        return os.environ["SET_IN_BETWEEN"]
    if task == "wait":
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            tell("saved")
            raise
    return f"{task} done"
