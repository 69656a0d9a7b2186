"""Decrypted credentials: the sops program, bounded; nothing else in here ever prints."""
