"""The job's configuration: typed YAML keys, mistakes explained, the core's options."""

from __future__ import annotations

from mindspore_federated.config.address import HostPort, parse_host_port
from mindspore_federated.config.errors import ConfigError, ConfigSyntaxError, Problem
from mindspore_federated.config.loading import load_common_config, load_server_config
from mindspore_federated.config.model import CommonConfig, ServerConfig

__all__ = [
    "CommonConfig",
    "ConfigError",
    "ConfigSyntaxError",
    "HostPort",
    "Problem",
    "ServerConfig",
    "load_common_config",
    "load_server_config",
    "parse_host_port",
]
