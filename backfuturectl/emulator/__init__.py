"""The stand-in exchanges over HTTP, on loopback: one dialect per exchange API, on `matching`."""
