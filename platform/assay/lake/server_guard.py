"""Runs a server for exactly as long as the process that wants it.

Belongs here: what must run in a process of its own, next to that process. Does not belong here: which server
(`server`).

This is a script, not a module to import: `server_guard.py DESCRIPTOR [--as=UID:GID] COMMAND…`. It prints the server's
process id, and stops the server when its standard input ends, which the operating system guarantees however
the other process ends. The usual ways fail here: a signal at the parent's death is sent when the parent's
*thread* ends, and setting it up runs Python between fork and exec in a process that has threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading

STOP_SECONDS = 3.0
"""How long the server may take to stop before it is killed.

After large reads, SeaweedFS waits half a minute for its own idle connections, although everything is already
stored. What it has acknowledged survives a kill."""
_PR_SET_PDEATHSIG = 1
_AS = "--as="


def main() -> int:
    """Start the command and stand by.

    The descriptor is of a lock file that the server inherits, so that the lock is held until the server has exited.
    """
    lock, command = int(sys.argv[1]), sys.argv[2:]
    user = group = None
    if command[0].startswith(_AS):
        user, group = map(int, command.pop(0).removeprefix(_AS).split(":"))
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        pass_fds=(lock,),
        user=user,
        group=group,
        extra_groups=None if user is None else [],
        # This process has one thread, and its exit triggers the signal: neither of the two objections applies here.
        preexec_fn=_stop_with_parent if sys.platform == "linux" else None,
    )
    sys.stdout.write(f"{server.pid}\n")
    sys.stdout.flush()
    threading.Thread(target=_stop_at_end_of_input, args=(server,), daemon=True).start()
    return server.wait()


def _stop_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop_at_end_of_input(server: subprocess.Popen[bytes]) -> None:
    # Not through sys.stdin: Python cannot end while a thread waits in there.
    while os.read(0, 1):
        pass
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()


if __name__ == "__main__":
    sys.exit(main())
