"""Passwords of the certificates, which never stand in the YAML file."""

from __future__ import annotations

from mindspore_federated.startup.arguments import check_int, check_str

DEFAULT_CIPHER_LIST = ":".join(
    (
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-PSK-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-CCM",
        "ECDHE-ECDSA-AES256-CCM",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    )
)


class SSLConfig:
    """What TLS needs besides the ``ssl`` section of the YAML file, which holds the paths of horizontal jobs.

    Args:
        server_password: opens the PKCS#12 file of the listening side; non-empty.
        client_password: opens the PKCS#12 file of the connecting side; non-empty.
        server_cert_path, client_cert_path, ca_cert_path, crl_path: None or non-empty paths; not used by the
            horizontal jobs.
        cipher_list: cipher suites, separated by ``:``; not used by the horizontal jobs.
        cert_expire_warning_time_in_day: days; not used by the horizontal jobs.

    Raises:
        RuntimeError: an argument is of the wrong type or empty.
    """

    def __init__(
        self,
        server_password: str,
        client_password: str,
        server_cert_path: str | None = None,
        client_cert_path: str | None = None,
        ca_cert_path: str | None = None,
        crl_path: str | None = None,
        cipher_list: str = DEFAULT_CIPHER_LIST,
        cert_expire_warning_time_in_day: int = 90,
    ) -> None:
        self.server_password = check_str("server_password", server_password)
        self.client_password = check_str("client_password", client_password)
        self.server_cert_path = _path("server_cert_path", server_cert_path)
        self.client_cert_path = _path("client_cert_path", client_cert_path)
        self.ca_cert_path = _path("ca_cert_path", ca_cert_path)
        self.crl_path = _path("crl_path", crl_path)
        self.cipher_list = check_str("cipher_list", cipher_list)
        days = check_int("cert_expire_warning_time_in_day", cert_expire_warning_time_in_day)
        self.cert_expire_warning_time_in_day = days


def _path(name: str, value: str | None) -> str | None:
    return None if value is None else check_str(name, value)


def check_ssl_config(value: object) -> None:
    """Raises RuntimeError unless `value` is None or an SSLConfig."""
    if value is not None and not isinstance(value, SSLConfig):
        raise RuntimeError(
            f"Parameter 'ssl_config' should be None or instance of SSLConfig, but got {type(value)}"
        )
