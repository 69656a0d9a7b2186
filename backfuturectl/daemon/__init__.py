"""The process: composition root, watcher, systemd, status API."""
