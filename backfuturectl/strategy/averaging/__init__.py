"""The averaging kind: one deal per pair with a ladder, a take profit and a stop."""
