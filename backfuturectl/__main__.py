"""``python -m backfuturectl``."""

from backfuturectl.cli.main import main

main()
