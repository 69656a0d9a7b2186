"""SOPS and age: keys are decrypted in memory only and never leave it."""
