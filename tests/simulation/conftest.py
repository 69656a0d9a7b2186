"""Histories that several tests ask about are run once, whichever process asks first."""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Callable

import pytest

from tests.simulation.history import Told, run

Tell = Callable[[int], Told]


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Tell:
    """Return what tells the history of a seed.

    Raises:
        HistoryError: As `run`, for everyone who asks.
    """
    base = tmp_path_factory.getbasetemp()
    # Each of several processes has a folder of its own in the one of the whole run.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "histories"
    folder.mkdir(exist_ok=True)

    def tell(seed: int) -> Told:
        with (folder / str(seed)).open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            stored = file.read()
            if stored:
                known: Told = pickle.loads(stored)
                return known
            history = run(seed)
            file.write(pickle.dumps(history))
            return history

    return tell
