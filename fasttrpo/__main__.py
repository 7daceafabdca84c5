"""`python -m fasttrpo` is the same as `fasttrpo`."""

import os
import sys


def _leave_working_folder() -> None:
    """`-m` puts the working folder before all that is installed, where any file in it that is
    called random.py, say, would be imported for Python's own. It goes to the end if this package
    is in it, else away: `fasttrpo` has it only where an environment is in a module of the user's.
    """
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not sys.flags.safe_path and sys.path and _is_working_folder(sys.path[0]):
        folder = sys.path.pop(0)
        if _is_working_folder(root):
            sys.path.append(folder)


def _is_working_folder(path: str) -> bool:
    return path == "" or (os.path.exists(path) and os.path.samefile(path, "."))


if __name__ == "__main__":  # and not where a process that it starts imports it
    _leave_working_folder()
    from fasttrpo.cli import main

    raise SystemExit(main())
