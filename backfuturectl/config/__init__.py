"""Documents from files: find, read once, parse with positions, cross-check."""
