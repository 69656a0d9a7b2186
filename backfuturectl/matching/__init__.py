"""An exchange as a value: accounts, keys, matching, fees, positions, margin; no I/O."""
