"""Becomes the browser: a script that is started by itself, with nothing of ours loaded.

Its arguments are a file descriptor, the user that the browser is to be (empty for whoever we are), and the command. The
browser expects its commands on descriptor 3 and answers on 4; both are the one that is given.
"""

from __future__ import annotations

import fcntl
import os
import sys

FIRST_FREE = 10

given, user, *command = sys.argv[1:]
channel = fcntl.fcntl(int(given), fcntl.F_DUPFD, FIRST_FREE)
os.dup2(channel, 3)
os.dup2(channel, 4)
os.close(channel)
if user:
    os.setgroups([])
    os.setgid(int(user))
    os.setuid(int(user))
os.execv(command[0], command)  # noqa: S606 - the command is made by our own code
