"""The fixtures for tests of the gateway."""

from gateway_fixtures import client, config, gateway, put

__all__ = ["client", "config", "gateway", "put"]
