"""MEXC's envelopes: how spot and futures say yes and no."""

from __future__ import annotations

from typing import Any

from backfuturectl.emulator.dialect import Reply, ReplyError


def spot_error(code: int, message: str, status: int = 400) -> ReplyError:
    """Return a spot refusal, ready to be raised."""
    return ReplyError(Reply({"code": code, "msg": message}, status))


def futures_error(code: int, message: str, status: int = 200) -> ReplyError:
    """Return a futures refusal, ready to be raised; most arrive with HTTP 200."""
    return ReplyError(Reply({"success": False, "code": code, "message": message}, status))


def missing_parameter(name: str) -> ReplyError:
    """Return the spot refusal of a request without *name*, or with nonsense in its place."""
    return spot_error(
        700004,
        f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
    )


def succeeded(content: Any) -> Reply:
    """Return a success with its *content*."""
    return Reply({"success": True, "code": 0, "data": content})
