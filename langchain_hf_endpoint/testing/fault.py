"""What happens to one request instead of a right answer, as a plain value.

It knows which parts a fault is made of. It must not know which faults there are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal, TypeAlias

from langchain_hf_endpoint.testing.corruptions import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_hf_endpoint.testing.replies import Reply
    from langchain_hf_endpoint.testing.tei import Release

Where: TypeAlias = Literal["before", "head", "body", "after"]
"""Before the answer, in the middle of its head or of its body, after all of it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as a fault or a plan sees it.

    Attributes:
        method: ``POST``, or ``GET`` for ``/info``.
        path: Its path.
        texts: What it asks to embed.
        release: The version of TEI that is spoken, (1, 9, 3).
    """

    method: str
    path: str
    texts: tuple[str, ...]
    release: Release


@dataclass(frozen=True, eq=False)
class Fault:
    """What happens to one request instead of a right answer.

    The functions of this module make the usual ones. Anything else can be put together here:
    ``Fault("teapot", answer=Reply(418, b"short and stout"))``.

    Attributes:
        kind: Its name, by which the log and the counts know it.
        answer: Answered in the place of vectors, without looking at the request. Else the answer
            is the right one, with the changes that follow.
        change: One of `CHANGES`, made to the right answer.
        headers: Further headers of the answer.
        content_type: In the place of ``application/json``.
        delay: Seconds before the answer begins.
        cut: Where the answer ends too early (``after``: where it ends).
        then: What follows there: the connection is reset, closed, or left silent.
        drip: Seconds for each of `pieces` in which the answer is sent.
        pieces: Into how many a dripping answer is cut.
        size: The body is made as long as this many bytes, of numbers that nobody asked for.
        lasts: For so many seconds from the first such answer, every request gets it.
    """

    kind: str
    answer: Reply | Callable[[Asked], Reply] | None = None
    change: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = ""
    delay: float = 0.0
    cut: Where | None = None
    then: Literal["reset", "close", "hang"] = "reset"
    drip: float = 0.0
    pieces: int = 100
    size: int = 0
    lasts: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a change that there is not.

        Raises:
            ValueError: Names the ones that there are.
        """
        if self.change and self.change not in CHANGES:
            raise ValueError(f"change must be one of {', '.join(CHANGES)}; not {self.change!r}")

    def __repr__(self) -> str:
        told = [
            f", {each.name}={getattr(self, each.name)!r}"
            for each in fields(self)
            if each.name not in ("kind", "answer")
            and getattr(self, each.name) != each.default
            and getattr(self, each.name) != {}
        ]
        return f"<Fault {self.kind}{''.join(told)}>"

    def answer_to(self, asked: Asked) -> Reply | None:
        """The answer in the place of vectors, if there is one."""
        return self.answer(asked) if callable(self.answer) else self.answer
