"""The whole story on the stand-in exchanges: real files, real sops, real processes, real HTTP."""
