"""Keep this process's memory to itself."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from typing import Final

from backfuturectl.model.errors import ConfigurationError

# Source: linux/prctl.h.
_PR_GET_DUMPABLE: Final = 3
_PR_SET_DUMPABLE: Final = 4


def harden_process() -> None:
    """Forbid core dumps and debugging by other processes, and create files for the owner alone.

    Call it first thing, before any secret is in memory. Children inherit the core limit and the
    umask; programs they start are dumpable again, but leave no core.

    Raises:
        ConfigurationError: The system refused; keys must not be decrypted then.
    """
    os.umask(0o077)
    if resource.getrlimit(resource.RLIMIT_CORE) != (0, 0):  # a sandbox may forbid even this call
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        if libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) != 0:
            raise ConfigurationError(
                "the system does not let this process forbid core dumps",
                remedy="allow the system call prctl in the sandbox that it runs in",
            )
