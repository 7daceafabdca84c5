"""`python -m fasttrpo` is the same as `fasttrpo`."""

from fasttrpo.cli import main

raise SystemExit(main())
