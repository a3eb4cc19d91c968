"""Limit requests per minute in a process: `RequestsPerMinuteLimiter`."""

from __future__ import annotations

from langchain_hf_endpoint.limiter.limiter import Lane, RequestsPerMinuteLimiter, Turn

__all__ = ["Lane", "RequestsPerMinuteLimiter", "Turn"]
