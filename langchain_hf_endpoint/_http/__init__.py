"""Send requests: over httpx and httpcore, or over aiohttp where it is asked for."""
