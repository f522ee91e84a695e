"""Whether there is a browser to take pictures with."""

from __future__ import annotations

import os
import subprocess
from functools import cache

from app.outbound.browser import find_browser


@cache
def has_browser() -> bool:
    """Answer whether there is a browser that works here, as whoever runs the tests."""
    program = find_browser(None)
    if program is None:
        return False
    flags = ["--headless", "--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    try:
        ended = subprocess.run(
            [program, *flags, "--dump-dom", "about:blank"], capture_output=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return b"<body>" in ended.stdout
