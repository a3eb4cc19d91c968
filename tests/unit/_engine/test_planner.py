"""From texts to batches and back: what is sent together, once, and in which order it comes out."""

import pickle

import orjson
import pytest

from langchain_hf_endpoint import ChunkingSettings, InputError, ServerError
from langchain_hf_endpoint._engine.planner import (
    LOOK_AHEAD,
    BatchBounds,
    Planner,
    check_text,
    check_texts,
)
from langchain_hf_endpoint._engine.vectors import Rows

WHOLE = ChunkingSettings(strategy="none")
TENS = ChunkingSettings(strategy="word", max_chunking_size=10, overlap=0)
WORDS = [f"w{number}" for number in range(1000)]


def words(count, start=0):
    return " ".join(WORDS[start : start + count])


def plan_of(*texts, chunking=WHOLE, prompt="", inputs=32, body_bytes=10**6, **more):
    bounds = BatchBounds(inputs, body_bytes)
    plan = Planner(chunking, prompt, lambda: bounds, Rows(), **more)
    plan.add(texts)
    return plan


def batches_of(plan, *, more_to_come=False):
    batches = []
    while (batch := plan.next_batch(more_to_come=more_to_come)) is not None:
        batches.append(batch)
    return batches


def texts_of(batch):
    return [orjson.loads(one) for one in batch.inputs]


def sent(batches):
    return list(map(texts_of, batches))


def answer(plan, batch):
    """The server's answer is the input itself, so that it shows whose vector it is."""
    plan.settle(batch.numbers, [[text] for text in texts_of(batch)])


def finished(plan):
    return [(text.index, text.rows) for text in plan.finished()]


# What is sent


def test_a_text_without_chunking_goes_as_it_is_behind_its_prompt():
    plan = plan_of(" outer  blanks\n", chunking=None, prompt="query: ")
    assert sent(batches_of(plan)) == [["query:  outer  blanks\n"]]


def test_each_chunk_goes_behind_the_prompt():
    plan = plan_of(words(25), chunking=TENS, prompt="passage: ")
    (batch,) = batches_of(plan)
    expected = {f"passage: {words(10, start)}" for start in (0, 10)} | {f"passage: {words(5, 20)}"}
    assert set(texts_of(batch)) == expected


def test_equal_texts_and_equal_chunks_are_sent_once():
    repeated = f"{words(10)} {words(10)} {words(10)}"
    plan = plan_of(repeated, words(10), repeated, chunking=TENS)
    assert sent(batches_of(plan)) == [[words(10)]]
    assert plan.inputs_planned == 1


def test_a_text_that_was_answered_already_is_not_sent_again():
    plan = plan_of("a")
    for batch in batches_of(plan):
        answer(plan, batch)
    plan.add(["a"])
    assert batches_of(plan) == []
    assert finished(plan) == [(0, [["a"]]), (1, [["a"]])]


def test_batches_are_filled_up_to_the_bound_of_inputs():
    plan = plan_of(*WORDS[:100], inputs=32)
    assert [len(batch) for batch in sent(batches_of(plan))] == [32, 32, 32, 4]


def test_batches_stay_within_the_bound_of_bytes():
    texts = ["é" * count for count in range(1, 60)]
    batches = sent(batches_of(plan_of(*texts, body_bytes=200)))
    for batch in batches:
        assert len(batch) == 1 or len(orjson.dumps(batch)) <= 200 + len("[]")
    assert sorted(text for batch in batches for text in batch) == sorted(texts)


def test_bytes_are_counted_as_json_will_have_them():
    newlines = [f"{number}{chr(10) * 40}." for number in range(2)]  # two bytes each in JSON
    assert len(batches_of(plan_of(*newlines, body_bytes=100))) == 2
    letters = [f"{number}{'n' * 40}." for number in range(2)]
    assert len(batches_of(plan_of(*letters, body_bytes=100))) == 1


def test_an_input_over_the_bound_of_bytes_goes_alone_rather_than_never():
    plan = plan_of("a", "x" * 500, "b", body_bytes=100)
    assert sorted(map(sorted, sent(batches_of(plan)))) == [["a", "b"], ["x" * 500]]


def test_inputs_of_like_lengths_go_together():
    short, long = [f"s{n}" for n in range(8)], [f"{n}{'x' * 50}" for n in range(8)]
    mixed = [text for pair in zip(short, long, strict=True) for text in pair]
    assert list(map(set, sent(batches_of(plan_of(*mixed, inputs=8))))) == [set(long), set(short)]


def test_while_more_is_to_come_only_full_batches_go():
    plan = plan_of(*WORDS[:10], inputs=4)
    assert [len(batch) for batch in sent(batches_of(plan, more_to_come=True))] == [4, 4]
    assert not plan.is_all_cut
    assert sent(batches_of(plan)) == [WORDS[8:10]]
    assert plan.is_all_cut


def test_the_oldest_inputs_go_first_when_some_must_wait():
    plan = plan_of(*WORDS[:6], inputs=4)
    (batch,) = sent(batches_of(plan, more_to_come=True))
    assert set(batch) == set(WORDS[:4])


def test_without_texts_there_is_no_batch():
    plan = plan_of()
    assert plan.is_all_cut
    assert plan.next_batch(more_to_come=False) is None
    assert list(plan.finished()) == []


@pytest.mark.parametrize("bounds", [BatchBounds(5, 10**6), BatchBounds(32, 60)])
def test_bounds_that_are_learned_late_hold_for_what_was_gathered_before(bounds):
    at_present = [BatchBounds(32, 10**6)]
    plan = Planner(WHOLE, "", lambda: at_present[-1], Rows())
    plan.add(WORDS[:96])
    first = plan.next_batch(more_to_come=False)
    assert len(texts_of(first)) == 32
    at_present.append(bounds)
    rest = sent(batches_of(plan))
    assert all(len(batch) <= bounds.inputs for batch in rest)
    assert all(len(orjson.dumps(batch)) <= bounds.body_bytes + 2 for batch in rest)
    assert sorted(texts_of(first) + [text for batch in rest for text in batch]) == sorted(
        WORDS[:96]
    )


def test_the_look_ahead_is_some_batches_wide():
    plan = plan_of(inputs=4)
    assert plan.room == 4 * LOOK_AHEAD
    plan.add(["a"])
    assert plan.room == 4 * LOOK_AHEAD - 1


def test_there_is_no_room_while_batches_are_ready():
    plan = plan_of(*WORDS[:8], inputs=4)
    plan.next_batch(more_to_come=True)
    assert plan.room == 0
    plan.next_batch(more_to_come=True)
    assert plan.room == 4 * LOOK_AHEAD


# What comes out


def test_texts_come_out_in_order_each_once_whatever_order_the_answers_have():
    plan = plan_of(*WORDS[:12], inputs=2)
    batches = batches_of(plan)
    out = []
    for batch in reversed(batches):
        answer(plan, batch)
        out += finished(plan)
    assert out == [(index, [[text]]) for index, text in enumerate(WORDS[:12])]
    assert finished(plan) == []


def test_a_text_comes_out_when_its_last_chunk_is_answered():
    chunks = [words(10, start) for start in (0, 10, 20)]
    plan = plan_of(words(30), "next", chunking=TENS, inputs=1)
    batches = sorted(batches_of(plan), key=lambda batch: texts_of(batch) == [chunks[1]])
    for batch in batches[:-1]:
        answer(plan, batch)
        assert finished(plan) == []
    answer(plan, batches[-1])
    assert finished(plan) == [(0, [[piece] for piece in chunks]), (1, [["next"]])]


def test_the_chunks_come_with_their_places_in_the_text():
    text = f"  {words(25)}  "
    plan = plan_of(text, chunking=TENS, prompt="passage: ")
    for batch in batches_of(plan):
        answer(plan, batch)
    (out,) = plan.finished()
    assert [piece.text for piece in out.chunks] == [words(10), words(10, 10), words(5, 20)]
    assert all(text[piece.start : piece.end] == piece.text for piece in out.chunks)


def test_texts_that_are_the_same_do_not_share_one_vector():
    plan = plan_of("a", "a", f"{words(10)} {words(10)}", chunking=TENS)
    for batch in batches_of(plan):
        answer(plan, batch)
    rows = [row for text in plan.finished() for row in text.rows]
    assert len(rows) == 4
    for row in rows:
        row.append("mine")
    assert all(len(row) == 2 for row in rows)


def test_a_failure_is_that_of_every_text_with_one_of_its_inputs_and_of_no_other():
    plan = plan_of(words(20), words(10, 10), "unharmed", chunking=TENS, inputs=1)
    error = ServerError("it broke")
    for batch in batches_of(plan):
        if texts_of(batch) == [words(10, 10)]:
            plan.settle(batch.numbers, error)
        else:
            answer(plan, batch)
    assert [text.error for text in plan.finished()] == [error, error, None]


def test_a_part_of_a_batch_may_fail():
    plan = plan_of(*WORDS[:4])
    (batch,) = batches_of(plan)
    error = ServerError("it broke")
    plan.settle(batch.numbers[:1], error)
    plan.settle(batch.numbers[1:], [[text] for text in texts_of(batch)[1:]])
    failures = {WORDS[text.index]: text.error for text in plan.finished()}
    assert failures == {**dict.fromkeys(WORDS[:4]), texts_of(batch)[0]: error}


def test_what_a_broken_batch_has_brought_already_is_kept():
    plan = plan_of(*WORDS[:4])
    (batch,) = batches_of(plan)
    plan.settle(batch.numbers[:2], [[text] for text in texts_of(batch)[:2]])
    error = ServerError("it broke")
    plan.settle_rest(batch.numbers, error)
    failures = {WORDS[text.index]: text.error for text in plan.finished()}
    assert failures == {
        **dict.fromkeys(texts_of(batch)[:2]),
        **dict.fromkeys(texts_of(batch)[2:], error),
    }


def test_a_text_that_cannot_be_embedded_fails_alone_and_sends_nothing():
    plan = plan_of("good", "  ", 7, "\ud800", "good too", keep=False)
    (batch,) = batches_of(plan)
    assert set(texts_of(batch)) == {"good", "good too"}
    answer(plan, batch)
    failures = [text.error for text in plan.finished()]
    assert [type(failure) for failure in failures] == [
        type(None),
        InputError,
        InputError,
        InputError,
        type(None),
    ]
    assert [failure.index for failure in failures if failure] == [1, 2, 3]


def test_what_was_not_sent_is_answered_by_the_error_that_ended_the_call():
    plan = plan_of(*WORDS[:10], inputs=4)
    first = plan.next_batch(more_to_come=True)
    error = ServerError("it broke")
    plan.drop_unsent(error)
    assert plan.is_all_cut
    assert plan.next_batch(more_to_come=False) is None
    answer(plan, first)
    went_out = set(texts_of(first))
    assert {WORDS[text.index]: text.error for text in plan.finished()} == {
        word: None if word in went_out else error for word in WORDS[:10]
    }


def test_a_text_that_is_an_input_of_its_own_need_not_come_out():
    """Its row is there by its index, and so is its error."""
    texts = ["a", "b", "a", f"{words(10)} b", "c"]
    plan = plan_of(*texts, chunking=TENS, inputs=1, all_come_out=False)
    error = ServerError("it broke")
    for batch in batches_of(plan):
        if texts_of(batch) == ["c"]:
            plan.settle(batch.numbers, error)
        else:
            answer(plan, batch)
    assert finished(plan) == [(2, [["a"]]), (3, [[words(10)], ["b"]])]
    assert {index: row for index, row in plan.rows.items() if index >= 0} == {0: ["a"], 1: ["b"]}
    assert plan.rows.failures == {4: error}


# Streams


def test_a_stream_forgets_what_is_out_and_a_list_does_not():
    for keep, again in ((False, [["a"]]), (True, [])):
        plan = plan_of("a", keep=keep)
        for batch in batches_of(plan):
            answer(plan, batch)
        assert finished(plan) == [(0, [["a"]])]
        plan.add(["a"])
        assert sent(batches_of(plan)) == again


def test_a_stream_remembers_what_a_later_text_still_waits_for():
    plan = plan_of("a", f"{words(10)} a", chunking=TENS, keep=False, inputs=1)
    first, second = sorted(batches_of(plan), key=lambda batch: texts_of(batch) != ["a"])
    answer(plan, first)
    assert finished(plan) == [(0, [["a"]])]
    plan.add(["a"])
    assert batches_of(plan) == []
    answer(plan, second)
    assert finished(plan) == [(1, [[words(10)], ["a"]]), (2, [["a"]])]


def test_a_stream_that_waits_for_its_oldest_text_takes_in_no_more():
    bound = 4 * LOOK_AHEAD * 2
    plan = plan_of("oldest", keep=False, inputs=2)
    taken = 1
    while not plan.is_far_behind:
        plan.add([WORDS[taken]])
        taken += 1
        assert taken <= bound + 1
    assert taken == bound + 1
    for batch in batches_of(plan):
        answer(plan, batch)
    assert len(finished(plan)) == taken
    assert not plan.is_far_behind


def test_a_stream_of_equal_texts_is_bounded_too():
    plan = plan_of(*["same"] * 1000, keep=False, inputs=2)
    assert plan.is_far_behind


def test_a_list_is_never_far_behind():
    plan = plan_of(*WORDS, inputs=1)
    assert not plan.is_far_behind


# What cannot be embedded


@pytest.mark.parametrize("text", ["", " ", "\n\t \u3000", "\x1c\x1d"])
def test_a_blank_text_is_refused_by_its_index(text):
    with pytest.raises(InputError, match="text 7: is empty or blank") as caught:
        check_text(text, 7)
    assert caught.value.index == 7


@pytest.mark.parametrize("text", [None, 4711, b"secret", ["secret"]])
def test_what_is_no_string_is_refused_without_being_shown(text):
    with pytest.raises(InputError, match=f"not {type(text).__name__}") as caught:
        check_text(text, 0)
    assert "4711" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_half_of_a_surrogate_pair_is_refused_by_its_place_without_the_text():
    with pytest.raises(InputError, match="at character 7") as caught:
        check_text("private\ud83d", 3)
    assert "private" not in str(caught.value)
    assert caught.value.__context__ is None
    assert pickle.loads(pickle.dumps(caught.value)).index == 3


@pytest.mark.parametrize("text", ["a", " a ", "\u200b", "\U0001f600", "\x00", "ab\ufffe"])
def test_any_other_text_is_taken(text):
    assert check_text(text, 0) is None


def test_all_blank_texts_are_named_with_what_leaves_them_out():
    texts = ["a", " ", "b", "", "c", "\n", 7]
    with pytest.raises(InputError, match=r"text 1: is empty or blank, and so are 3, 5\.") as caught:
        check_texts(texts)
    assert caught.value.index == 1
    for words in ("text.strip()", "page_content", "get_content(metadata_mode=MetadataMode.EMBED)"):
        assert words in caught.value.advice
    with pytest.raises(InputError, match=r"text 0: is empty or blank\.") as caught:
        check_texts([" ", "a"])
    with pytest.raises(InputError, match="text 1: must be a string"):
        check_texts(["a", 7, " "])
