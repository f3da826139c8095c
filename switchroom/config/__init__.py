"""The configuration: what there is to set, and how it is read."""

from switchroom.config.model import AppConfig, Config, DialConfig, NodeConfig
from switchroom.config.read import ConfigError, check, find, load, shown_file

__all__ = ["AppConfig", "Config", "ConfigError", "DialConfig", "NodeConfig", "check", "find", "load", "shown_file"]
