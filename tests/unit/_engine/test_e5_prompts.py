"""Which models get prompts that nobody asked for: the E5 family of the list, and no other."""

import pytest

from langchain_hf_endpoint._engine.prompts import e5_prompt, needs_e5_prompts


@pytest.mark.parametrize(
    "name",
    [
        "intfloat/e5-base-v2",
        "intfloat/e5-small-v2",
        "intfloat/multilingual-e5-base",
        "intfloat/multilingual-e5-small",
        "Intfloat/Multilingual-E5-Small",
        "e5-small-v2",
        "https://router.huggingface.co/hf-inference/models/intfloat/e5-base-v2",
        "https://router.huggingface.co/hf-inference/models/intfloat/e5-base-v2/pipeline/x",
        "/repository/e5-small-v2",
    ],
)
def test_the_e5_models_of_the_list_are_known_by_name_and_by_url(name):
    assert needs_e5_prompts(name)


@pytest.mark.parametrize(
    "name",
    [
        None,
        "",
        "intfloat/e5-mistral-7b-instruct",
        "intfloat/multilingual-e5-large-instruct",
        "someone/my-e5-small-v2-tuned",
        "sentence-transformers/all-MiniLM-L6-v2",
        "https://e5-small-v2.example.org/embed",
        "https://x.endpoints.huggingface.cloud",
    ],
)
def test_models_that_only_look_like_them_get_none(name):
    assert not needs_e5_prompts(name)


def test_queries_and_documents_have_the_prompts_that_e5_was_trained_with():
    assert (e5_prompt("query"), e5_prompt("document")) == ("query: ", "passage: ")
