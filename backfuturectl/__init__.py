"""backfuturectl: a declarative daemon for crypto trading bots."""

__version__ = "0.1.0"
