"""Every planted fault, by what it is about."""

from tests.mutations.fault import Fault
from tests.mutations.faults import around, engine, invariants, proofs

FAULTS: tuple[Fault, ...] = (
    *invariants.FAULTS,
    *proofs.FAULTS,
    *engine.FAULTS,
    *around.FAULTS,
)
