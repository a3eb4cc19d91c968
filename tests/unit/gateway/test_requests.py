"""How much is done in one turn of the event loop, and in which order."""

import asyncio

from langchain_hf_endpoint.gateway.requests import Turns


async def turns_of(turns: Turns, works: list[int]) -> list[tuple[int, int]]:
    """The turn in which each work, asked for at the same time, is let through, in that order."""
    turn = 0
    through: list[tuple[int, int]] = []

    async def do(number: int, work: int) -> None:
        await turns.take(work)
        through.append((number, turn))

    tasks = [asyncio.create_task(do(number, work)) for number, work in enumerate(works)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        turn += 1
    return through


async def test_small_works_share_a_turn_up_to_the_bound():
    through = await turns_of(Turns(100), [10] * 35)
    assert [number for number, _ in through] == list(range(35))
    by_turn = [turn for _, turn in through]
    assert max(map(by_turn.count, by_turn)) == 10
    assert len(set(by_turn)) == 4


async def test_large_works_are_done_one_in_a_turn_and_nobody_passes_them():
    through = await turns_of(Turns(100), [1000, 1000, 1, 1000, 1])
    assert [number for number, _ in through] == [0, 1, 2, 3, 4]
    by_turn = [turn for _, turn in through]
    assert by_turn[0] < by_turn[1] < by_turn[2] == by_turn[3] < by_turn[4]


async def test_one_who_is_gone_holds_up_nobody():
    turns = Turns(100)
    first, gone, stays = (asyncio.create_task(turns.take(100)) for _ in range(3))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(first, stays)
    assert gone.cancelled()
