"""What tests of the engine share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.shell.world import Disk


@pytest.fixture
def disk() -> Iterator[Disk]:
    with closing(Disk()) as found:
        yield found
