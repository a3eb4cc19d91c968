"""The password in the URL of Redis: it is in no error, nor in the locals of its frames."""

import asyncio
import socket
import traceback

import pytest
from rich.traceback import Traceback

from langchain_hf_endpoint import HFEndpointError
from langchain_hf_endpoint.redis import RedisRequestsPerMinuteLimiter

PASSWORD = "SeCrEtOfReDiS"


def shown(error):
    """The error with its causes, and the locals of every frame, as two libraries show them."""
    told = list(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    trace = Traceback.extract(
        type(error),
        error,
        error.__traceback__,
        show_locals=True,
        locals_max_length=None,
        locals_max_string=None,
    )
    frames = [frame for stack in trace.stacks for frame in stack.frames]
    return "".join(told + [str(one) for frame in frames for one in (frame.locals or {}).values()])


def _acquire(limiter, method):
    if method == "acquire":
        limiter.acquire()
    else:
        asyncio.run(limiter.aacquire())


@pytest.mark.parametrize("method", ["acquire", "aacquire"])
@pytest.mark.parametrize("answer", [None, b"-WRONGPASS no\r\n", b"nonsense\r\n"])
def test_no_frame_of_an_error_has_it(method, answer):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        if answer is not None:
            held.listen()
        limiter = RedisRequestsPerMinuteLimiter(
            60,
            url=f"redis://me:{PASSWORD}@127.0.0.1:{held.getsockname()[1]}/0",
            key="a-key",
            timeout=0.3,
        )
        with pytest.raises(HFEndpointError) as caught:
            _acquire(limiter, method)
    assert PASSWORD not in shown(caught.value)
    assert "127.0.0.1" in str(caught.value)
