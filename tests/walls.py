"""Whether this machine can build the walls of a sandbox for code."""

from __future__ import annotations

import shutil
import subprocess

from app.code_sandbox.bubblewrap import PROGRAM


def can_build_walls() -> bool:
    """Answer whether this machine has bubblewrap and lets it make namespaces."""
    program = shutil.which(PROGRAM)
    if program is None:
        return False
    tried = [program, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0
