"""A repository with one of everything, and where its reports are kept."""

import os
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE / "repository"
IS_REWRITING = bool(os.environ.get("REWRITE_GOLDEN"))


def same_as_golden(name: str, text: str) -> bool:
    """Compare *text* with the file of that name; with REWRITE_GOLDEN=1 write it instead."""
    path = HERE / name
    if IS_REWRITING:
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8") == text
