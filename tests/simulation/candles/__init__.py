"""Candle files that histories play: a month without a move, a day that falls by 30 %, gaps."""
