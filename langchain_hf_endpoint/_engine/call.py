"""What all the requests of one call have in common: settings, lane, and whom they share with.

It knows where things are. It must not decide when or what is sent.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from langchain_hf_endpoint._engine.failures import error_of
from langchain_hf_endpoint._engine.prompts import (
    e5_prompt,
    needs_e5_prompts,
    options_of,
    should_fetch_info,
)
from langchain_hf_endpoint._messages import Cause
from langchain_hf_endpoint._session.concurrency import one_at_a_time
from langchain_hf_endpoint._urls import host_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.rate_limiters import BaseRateLimiter

    from langchain_hf_endpoint._engine.retry_policy import RetryPolicy
    from langchain_hf_endpoint._messages import Failure, Form, InputOptions
    from langchain_hf_endpoint._secrets import Redactor
    from langchain_hf_endpoint._session.concurrency import ConcurrencyWindow
    from langchain_hf_endpoint._session.server_state import ServerState
    from langchain_hf_endpoint.errors import HFEndpointError
    from langchain_hf_endpoint.limiter import Lane
    from langchain_hf_endpoint.settings import ServiceSettings, TaskSettings

_logger = logging.getLogger("langchain_hf_endpoint")


class Pausing:
    """How many of a call's batches were refused and pause; enter it for the pause."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.count += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.count -= 1


@dataclass(frozen=True, slots=True)
class Call:
    """What the flows of one call have in common.

    `info_lock` is where all who do not know the server yet wait while one of them asks it.
    """

    service: ServiceSettings
    task: TaskSettings
    lane: Lane
    server: ServerState
    window: ConcurrencyWindow
    limiter: BaseRateLimiter
    policy: RetryPolicy
    sends_key: bool
    redactor: Redactor
    form: Form = "lists"
    clock: Callable[[], float] = time.monotonic
    pausing: Pausing = field(default_factory=Pausing)
    info_lock: ConcurrencyWindow = field(default_factory=one_at_a_time)

    @property
    def batch_size(self) -> int:
        """Inputs per request at present."""
        return self.server.batch_size(self.service.max_batch_size)

    @property
    def options(self) -> InputOptions:
        """What the server is asked to do with the inputs of this lane."""
        server = self.server
        return options_of(
            self.task,
            self.lane,
            self.service.model or server.model,
            base64=not server.has_no_base64,
            truncate_tokens=server.truncate_tokens if self.task.truncate else None,
        )

    @property
    def prompt(self) -> str:
        """The text before each input of this lane: the one set, else E5's own where it is E5."""
        task = self.task
        given = task.query_prompt if self.lane == "query" else task.document_prompt
        if given is not None or self.options.prompt_name is not None:
            return given or ""
        info = self.server.info if should_fetch_info(self.service) else None
        model = self.service.model or (info.model_id if info else None)
        if not (needs_e5_prompts(model) or needs_e5_prompts(self.service.url)):
            return ""
        if not self.server.e5_logged:
            self.server.e5_logged = True
            _logger.info(
                "%s serves an E5 model (%s): its prompts %r and %r are put before queries and "
                "documents. Set task_settings.query_prompt and document_prompt to change that.",
                host_of(self.service.url),
                model or "named in the URL",
                e5_prompt("query"),
                e5_prompt("document"),
            )
        return e5_prompt(self.lane)

    def error(self, failure: Failure, attempts: int, *, of_input: bool = False) -> HFEndpointError:
        """Word a failure, without the key even where the server repeats it."""
        failure = dataclasses.replace(failure, text=self.redactor.text(failure.text))
        host = host_of(self.service.url)
        key_advice = ""
        if failure.cause is Cause.AUTHENTICATION and not of_input:
            key_advice = self.service.advice_on_key()
        return error_of(
            failure,
            host=host,
            attempts=attempts,
            sent_key=self.sends_key,
            key_advice=key_advice,
            of_input=of_input,
            truncates=self.task.truncate,
        )
