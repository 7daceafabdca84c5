"""`python -m fasttrpo` is the same as `fasttrpo`."""

from fasttrpo.cli import main

if __name__ == "__main__":  # and not where a process that it starts imports it
    raise SystemExit(main())
