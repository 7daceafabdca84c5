"""What a child process does in the tests: the name of its task's folder says what."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time

import numpy as np


def work(task, report):
    """Returns the last message.

    "threads"   how many there are after linear algebra that is large enough for several
    "variable"  one of the environment's
    "other:X"   imports X
    """
    from fasttrpo.cli.children import module_files
    from fasttrpo.core import backend

    kind, _, argument = task.partition(":")
    if kind == "other":
        importlib.import_module(argument)
    report({"modules": module_files(), "system": backend.describe()})
    report({"steps": os.getpid(), "mean": 0.0, "kl": 0.0})
    if kind == "fail":
        return {"error": "no luck", "traceback": "in work"}
    if kind == "exit":
        os._exit(3)
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "threads":
        np.ones((600, 600)) @ np.ones((600, 600))
        return {"result": len(os.listdir("/proc/self/task"))}
    if kind == "variable":
        return {"result": os.environ["SET_IN_BETWEEN"]}
    if kind == "wait":
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            report({"steps": 0, "mean": 1.0, "kl": 0.0})
            sys.exit(130)
    return {"result": f"{task} done"}


def interrupt(number, frame):
    raise KeyboardInterrupt


def main():
    """Finds modules where the parent does, so that both import the same fasttrpo."""
    signal.signal(signal.SIGTERM, interrupt)
    job = json.loads(sys.argv[1])
    sys.path[:] = job["path"]
    from fasttrpo.cli.child import connect

    if job["task"]["folder"] == "die in a message":
        os.write(0, b'{"modules": ')
        os.kill(os.getpid(), signal.SIGKILL)
    report = connect()
    report(work(job["task"]["folder"], report))


if __name__ == "__main__":
    main()
