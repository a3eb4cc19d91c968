"""Texts are taken from a caller a handful at a time."""

import asyncio
from itertools import chain, count
from types import SimpleNamespace

import pytest

from langchain_hf_endpoint._engine import sources
from langchain_hf_endpoint._engine.sources import AsyncSource, Source


async def _one_by_one(texts):
    for text in texts:
        yield text


SOURCES = {
    "list": Source,
    "iterator": lambda texts: Source(iter(texts)),
    "async": lambda texts: AsyncSource(_one_by_one(texts)),
}


def handfuls(make, texts, most):
    """What is taken up to the end, and the source; on a busy machine handfuls are smaller."""

    async def take():
        source, taken = make(texts), []
        while not source.is_exhausted and len(taken) < 100:
            taken.append(await source.atake(most))
            assert source.characters == sum(map(len, taken[-1]))
        return taken, source

    return asyncio.run(take())


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize(
    ("texts", "most"),
    [([], 0), (["a", "bc", "d", "e", "f"], 3), (["x" * 600_000] * 5, 2)],
    ids=["none", "short", "long"],
)
def test_all_texts_are_taken_a_few_at_a_time(make, texts, most):
    taken, source = handfuls(make, texts, 3)
    assert [*chain(*taken)] == texts
    assert max(map(len, taken)) <= most
    assert source.error is None


@pytest.mark.parametrize("name", ["iterator", "async"])
def test_what_came_before_an_error_is_taken_and_the_error_kept(name):
    def texts():
        yield "a"
        raise KeyError("b")

    taken, source = handfuls(SOURCES[name], texts(), 3)
    assert [*chain(*taken)] == ["a"]
    assert isinstance(source.error, KeyError)


def test_a_list_is_never_slow_however_busy_the_machine(monkeypatch):
    monkeypatch.setattr(sources, "time", SimpleNamespace(monotonic=count().__next__))
    texts = ["a", "b", "c"]
    of_list, of_iterator = Source(texts), Source(iter(texts))
    assert (of_list.take(3), of_list.is_slow) == (texts, False)
    assert (of_iterator.take(3), of_iterator.is_slow) == (["a"], True)
