"""The stand-in exchanges over HTTP, one dialect per module, on loopback."""
