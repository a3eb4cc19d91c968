"""Sending: httpx over sockets of our own making, and aiohttp where it is asked for."""
