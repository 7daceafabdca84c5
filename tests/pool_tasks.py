"""What the processes of a pool do in the tests."""

from __future__ import annotations

import os
import signal
import time


def work(task, tell):
    """Does what its name says, and tells its process."""
    tell(os.getpid())
    if task == "fail":
        raise ValueError("no\nluck")
    if task == "exit":
        os._exit(3)
    if task == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "wait":
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            tell("saved")
            raise
    return f"{task} done"
