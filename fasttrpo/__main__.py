"""`python -m fasttrpo` is the same as `fasttrpo`."""

import os
import sys


def _leave_working_folder() -> None:
    """`-m` puts the working folder first in `sys.path`, so a file random.py in it would replace
    Python's. This moves it to the end if this package is in it, and removes it otherwise;
    `consent.admit` adds it if an environment is a module of the user's.
    """
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not sys.flags.safe_path and sys.path and _is_working_folder(sys.path[0]):
        folder = sys.path.pop(0)
        if _is_working_folder(root):
            sys.path.append(folder)


def _is_working_folder(path: str) -> bool:
    return path == "" or (os.path.exists(path) and os.path.samefile(path, "."))


if __name__ == "__main__":  # not when a child process imports it
    _leave_working_folder()
    from fasttrpo.cli import main

    raise SystemExit(main())
