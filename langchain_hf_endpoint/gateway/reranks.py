"""Rerank the texts of callers: so many requests at a time for each endpoint."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from langchain_hf_endpoint._engine.call import EmbeddingCall
from langchain_hf_endpoint._engine.results import SCORES, acollect
from langchain_hf_endpoint._urls import host_of
from langchain_hf_endpoint.endpoint import preferring_fast
from langchain_hf_endpoint.gateway.pending import QueueFullError
from langchain_hf_endpoint.reranker import check_query_text, ranked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_hf_endpoint._engine.call import Choices
    from langchain_hf_endpoint.endpoint import InferenceEndpoint
    from langchain_hf_endpoint.reranker import RankedDocument


class Reranks:
    """The reranks that are under way.

    Args:
        most: Requests at a time for each endpoint; more are refused.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way: Counter[str] = Counter()

    async def places(
        self,
        endpoint: InferenceEndpoint,
        query: str,
        texts: Sequence[str],
        top_n: int | None,
        choices: Choices,
    ) -> list[RankedDocument]:
        """The texts' places by their scores against the query, the best first.

        Raises:
            QueueFullError: As many requests are under way as there may be.
        """
        check_query_text(query)
        name, under_way = endpoint.inference_id, self._under_way
        if under_way[name] >= self._most:
            raise QueueFullError(under_way[name], host_of(endpoint.service_settings.url), 1.0)
        under_way[name] += 1
        try:
            make_call = partial(
                EmbeddingCall[list[float]].for_scores,
                preferring_fast(endpoint),
                query=query,
                **choices,
            )
            scores: list[float] = await acollect(make_call, texts, SCORES)
        finally:
            under_way[name] -= 1
            if not under_way[name]:
                del under_way[name]
        return ranked(scores, top_n)
