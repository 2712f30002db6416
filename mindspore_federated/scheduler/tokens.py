"""The token of operators: where it comes from, and whether a request has it."""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Mapping

from mindspore_federated import log
from mindspore_federated.config.address import is_loopback
from mindspore_federated.scheduler.refusals import Refusal

VARIABLE = "MSFL_MANAGEMENT_TOKEN"
_KEY = "management.token_file"
_LIMIT = 4096
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="mindspore_federated"'}
_OTHER_SITES = ("cross-site", "same-site")


def read_token(token_file: str) -> str | None:
    """The token from the environment, or else from `token_file` (may be empty: none). None: there is none.

    Raises:
        RuntimeError: it cannot be read, is empty, or cannot be sent in a header. The text has no part of it.
    """
    found = os.environ.get(VARIABLE, "").strip()
    source = f"The environment variable {VARIABLE}"
    if not found and token_file:
        source = f"The file '{token_file}' of {_KEY}"
        found = _read_file(token_file, source)
        if not found:
            raise RuntimeError(f"{source} is empty; it must hold the token and nothing else")
    if not found:
        return None
    if len(found) > _LIMIT or not all("!" <= letter <= "~" for letter in found):
        raise RuntimeError(
            f"{source} holds no token: allowed are up to {_LIMIT} visible ASCII characters without spaces"
        )
    return found


def _read_file(path: str, source: str) -> str:
    try:
        # Not to wait for ever at a pipe.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise RuntimeError(f"{source} is no regular file")
            content = stream.read(_LIMIT + 1024)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RuntimeError(f"{source} cannot be read: {reason}") from error
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        log.warning("%s can be read or written by every user of this machine; chmod 600 closes it", source)
    return content.decode("latin-1").strip()


def warn_if_open(token: str | None, host: str, port: int, what: str) -> None:
    """One warning when anybody on the network may command the job."""
    if token is None and not is_loopback(host) and host.lower() != "localhost":
        log.warning(
            "Whoever reaches %s port %d may use %s: there is no token. Set %s to the path of a file with a "
            "token, or the environment variable %s to the token, or listen on 127.0.0.1.",
            host,
            port,
            what,
            _KEY,
            VARIABLE,
        )


def authorise(token: str | None, headers: Mapping[str, str]) -> None:
    """Raises Refusal unless the request may command the job.

    Without a token everybody may, but for web pages of other sites, which a browser beside the Scheduler
    would otherwise let do so.
    """
    if token is None:
        if headers.get("Sec-Fetch-Site", "").lower() in _OTHER_SITES:
            raise Refusal("A web page of another site may not do this.", 403)
        return
    scheme, _, sent = headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Refusal(
            "This needs the management token: send the header 'Authorization: Bearer <token>'.",
            401,
            _CHALLENGE,
        )
    if not hmac.compare_digest(sent.strip().encode("utf-8", "surrogateescape"), token.encode()):
        challenge = {"WWW-Authenticate": _CHALLENGE["WWW-Authenticate"] + ', error="invalid_token"'}
        raise Refusal("The management token is not valid.", 401, challenge)
