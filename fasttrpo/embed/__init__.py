"""The C library as two files to compile into a program: fasttrpo.h and fasttrpo.c.

An installation has the files in this folder, where setup.py puts them. A source tree makes them
from csrc/.
"""

from __future__ import annotations

import runpy
import stat
from pathlib import Path

from fasttrpo.errors import UserError
from fasttrpo.files.atomic import saving, write_text

NAMES = ("fasttrpo.h", "fasttrpo.c")


def files() -> dict[str, str]:
    """The texts of the two files, by name."""
    folder = Path(__file__).parent
    script = folder.parents[1] / "csrc" / "amalgamate.py"
    if script.exists():
        texts: dict[str, str] = runpy.run_path(str(script))["amalgamate"]()
        return texts
    try:
        return {name: (folder / name).read_text(encoding="utf-8") for name in NAMES}
    except FileNotFoundError as error:
        raise UserError(
            f"this installation lacks {error.filename}: reinstall fasttrpo, or run "
            "csrc/amalgamate.py of its sources"
        ) from None


def write(folder: Path, force: bool = False) -> list[Path]:
    """Writes the two files into the folder, which is created if there is none. Returns their paths.

    Earlier versions of them are replaced; anything else only if `force`. UserError: nothing is
    written. SaveError: a file could not be written.
    """
    texts = {folder / name: text for name, text in files().items()}
    for path in texts:
        if not (force or _may_be_replaced(path)):
            raise UserError(
                f"{path} is not a file that fasttrpo made: choose another folder, or replace it "
                "with --force"
            )
    with saving(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)


def _may_be_replaced(path: Path) -> bool:
    """Whether there is nothing, or a file that begins as ours do (csrc/amalgamate.py)."""
    begin = f"/* {path.name}: fasttrpo ".encode()
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return True
    if not stat.S_ISREG(mode):
        return False
    with saving(path), open(path, "rb") as file:
        return file.read(len(begin)) == begin
