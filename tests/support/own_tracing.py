"""OpenTelemetry has one provider in a process, for good: a test has those of its own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.metrics import _internal as metrics
from opentelemetry.util._once import Once

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def own_tracing() -> Iterator[None]:
    """As in a new process; what is set within is forgotten."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "_TRACER_PROVIDER", None)
        patch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
        patch.setattr(metrics, "_METER_PROVIDER", None)
        patch.setattr(metrics, "_METER_PROVIDER_SET_ONCE", Once())
        yield
