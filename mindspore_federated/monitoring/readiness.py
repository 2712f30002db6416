"""Whether a load balancer should send devices to a Server."""

from __future__ import annotations

# A disabled or finished Server is ready: it serves its model, and tells devices what they need to know.
_NOT_READY = {
    "starting": "The server is starting.",
    "safemode": "The cluster is in safemode: the distributed cache cannot be reached.",
    "stopping": "The server is stopping.",
    "stopped": "The server has stopped.",
}


def readiness(status: str) -> str:
    """Why a Server of this status (`FLServerJob.status`) is not ready; "" if it is."""
    return _NOT_READY.get(status, "")
