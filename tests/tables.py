"""Table tests: one statement about many rows is one case that names each failing row."""

from __future__ import annotations

import functools
import inspect
from contextlib import chdir, contextmanager

import pytest


@contextmanager
def own_folder(fixtures, i):
    """The fixtures with a separate tmp_path for row i, made the working directory."""
    if "tmp_path" not in fixtures:
        yield fixtures
        return
    folder = fixtures["tmp_path"] / f"row_{i}"
    folder.mkdir()
    with chdir(folder):
        yield fixtures | {"tmp_path": folder}


def table(names, rows, ids=None):
    """Runs a test once per row within one case; otherwise like pytest.mark.parametrize.

    For quick rows that do not change the fixtures: fixtures are created once, but each row gets
    its own `tmp_path` as working directory. All rows run even if some fail. A skipped row skips
    the case after the others have run.
    """
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    rows, ids = list(rows), ids if ids is None or callable(ids) else list(ids)
    assert rows, "a table needs rows"
    assert not any(getattr(row, "marks", ()) for row in rows), "rows of a table cannot have marks"

    def values_of(row):
        row = row.values if hasattr(row, "marks") else row if len(names) > 1 else (row,)
        return dict(zip(names, row, strict=True))

    def label(i):
        given = ids(rows[i]) if callable(ids) else ids[i] if ids else None
        given = given or getattr(rows[i], "id", None)
        return f"row {i}: {given or values_of(rows[i])!r}"

    def decorate(test):
        @functools.wraps(test)
        def run_all(**fixtures):
            failures, skipped = [], None
            for i, row in enumerate(rows):
                try:
                    with own_folder(fixtures, i) as of_row:
                        test(**of_row, **values_of(row))
                except pytest.skip.Exception as reason:
                    skipped = reason
                except (Exception, pytest.fail.Exception) as error:
                    error.add_note(label(i))
                    failures.append(error)
            if failures:
                raise BaseExceptionGroup(f"{len(failures)} of {len(rows)} rows fail", failures)
            if skipped is not None:
                raise skipped

        signature = inspect.signature(test)
        missing = set(names) - set(signature.parameters)
        assert not missing, f"{test.__name__} does not take {missing}"
        fixtures = [p for p in signature.parameters.values() if p.name not in names]
        run_all.__signature__ = signature.replace(parameters=fixtures)
        return run_all

    return decorate
