"""Pure decisions of the control loop: plan, diff, backoff, conditions."""
