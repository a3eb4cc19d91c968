"""Run a server's own entry point, given as `module:function`, until stdin ends.

It runs in the server's own environment, where nothing of this package is.
"""

from __future__ import annotations

import os
import reprlib
import sys
import threading
from importlib import import_module


class _Repr(reprlib.Repr):
    """hf-serve makes one with arguments, which Python 3.11's does not take."""

    def __init__(self, **attributes):
        super().__init__()
        vars(self).update(attributes)


def _end_with_stdin():
    while os.read(0, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    if sys.version_info < (3, 12):
        reprlib.Repr = _Repr
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - no file of a folder
        os.dup2(nowhere.fileno(), 1)  # nobody reads what it prints
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    name, function = sys.argv.pop(1).split(":")
    sys.argv[0] = name
    getattr(import_module(name), function)()
