"""Adapters and dialects against recorded payloads, real programs and real clients."""
