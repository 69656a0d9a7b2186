"""Pure trading decisions: arithmetic, proofs and the step function of each strategy kind."""
