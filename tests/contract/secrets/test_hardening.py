"""A hardened process leaves no core and cannot be read by its neighbours."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import ctypes, os, resource
from backfuturectl.secrets.hardening import harden_process
harden_process()
harden_process()
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
print(oct(os.umask(0)))
"""


def test_core_dumps_and_debugging_are_off_and_files_are_private() -> None:
    # In a process of its own: none of it can be undone.
    shown = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    assert shown.stdout.decode().split("\n") == ["(0, 0) 0", "0o77", ""]
