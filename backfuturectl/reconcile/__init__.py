"""The control loop: desired against running, one worker per key."""
