"""Every planted fault, by what it is about."""

from tests.mutations.fault import Fault
from tests.mutations.faults import accounts, around, engine, invariants, proofs, recovery

FAULTS: tuple[Fault, ...] = (
    *invariants.FAULTS,
    *recovery.FAULTS,
    *proofs.FAULTS,
    *engine.FAULTS,
    *around.FAULTS,
    *accounts.FAULTS,
)
