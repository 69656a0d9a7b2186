"""Figures of this machine beside their bars: `python -m bench`."""
