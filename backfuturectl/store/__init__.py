"""The state database: what must survive a crash."""
