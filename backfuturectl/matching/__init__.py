"""An exchange as a value: accounts, keys, matching, fees, positions; no I/O, no clock."""
