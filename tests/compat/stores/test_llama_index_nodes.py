"""LlamaIndex's nodes as our parser cuts them: exact places, metadata, relationships."""

import pickle
from itertools import pairwise

import pytest
from llama_index.core import Document
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import MarkdownNodeParser, NodeParser
from llama_index.core.schema import MetadataMode, NodeRelationship, TextNode

from langchain_hf_endpoint import ChunkingSettings, SettingsError, chunk
from langchain_hf_endpoint.llama_index import HFEndpointNodeParser

MODES = pytest.mark.parametrize("mode", ["sync", "async"])
SENTENCES = {"strategy": "sentence", "max_chunking_size": 20, "sentence_overlap": 1}
WORDS = {"strategy": "word", "max_chunking_size": 10, "overlap": 3}
TEXTS = {
    "prose": "\n  One sentence stands here.  Another, which is longer, follows it!\n\n" * 9,
    "repeats": "The same again. " * 40,
    "foreign": "Ein Fuß im Schuh. 日本語のテキスト。 Ça va? 🦊 springt. " * 8 + "\t",
    "short": "Alone.",
}


async def parsed(mode, parser, documents):
    if mode == "sync":
        return parser.get_nodes_from_documents(documents)
    return await parser.aget_nodes_from_documents(documents)


@MODES
@pytest.mark.parametrize("settings", [SENTENCES, WORDS, {"strategy": "none"}, None])
@pytest.mark.parametrize("name", list(TEXTS))
async def test_nodes_are_our_chunks_at_their_exact_places(mode, settings, name):
    text = TEXTS[name]
    nodes = await parsed(mode, HFEndpointNodeParser(settings), [Document(text=text)])
    places = [(node.text, node.start_char_idx, node.end_char_idx) for node in nodes]
    assert places == [(each.text, each.start, each.end) for each in chunk(text, settings)]
    assert all(text[start:end] == piece for piece, start, end in places)


@MODES
async def test_each_node_knows_its_metadata_source_and_neighbours(mode):
    documents = [
        Document(text=text, metadata={"name": name}, id_=name) for name, text in TEXTS.items()
    ]
    nodes = await parsed(mode, HFEndpointNodeParser(WORDS), documents)
    of = {name: [node for node in nodes if node.ref_doc_id == name] for name in TEXTS}
    assert [node.id_ for each in of.values() for node in each] == [node.id_ for node in nodes]
    assert len({node.id_ for node in nodes}) == len(nodes)
    for name, own in of.items():
        assert all(node.metadata == {"name": name} for node in own)
        assert {node.relationships[NodeRelationship.SOURCE].node_id for node in own} == {name}
        for before, after in pairwise(own):
            assert before.next_node.node_id == after.id_
            assert after.prev_node.node_id == before.id_
        assert own[0].prev_node is None
        assert own[-1].next_node is None
    assert len(of["short"]) == 1 < len(of["prose"])


def test_the_words_of_the_metadata_have_room_in_each_chunk():
    text = " ".join(f"word{number}" for number in range(200))
    title = {"title": "six words that are embedded too"}
    document = Document(text=text, metadata=title)
    settings = {"strategy": "word", "max_chunking_size": 20, "overlap": 0}
    longest = {
        aware: max(
            len(node.get_content(MetadataMode.EMBED).split())
            for node in HFEndpointNodeParser(settings, metadata_aware=aware)(
                [document.model_copy(deep=True)]
            )
        )
        for aware in (True, False)
    }
    assert longest == {True: 20, False: 27}  # "title:" is a word too


def test_the_tokens_of_the_metadata_have_room_in_each_chunk():
    text = " ".join("word" for number in range(200))
    document = Document(text=text, metadata={"title": "some words that are embedded too"})
    settings = {"strategy": "word", "max_chunk_tokens": 40}  # estimated: one for each such word
    longest = max(
        len(node.get_content(MetadataMode.EMBED).split())
        for node in HFEndpointNodeParser(settings)([document])
    )
    assert 20 < longest <= 40


def test_what_the_embedding_is_not_given_takes_no_room():
    text = " ".join(f"word{number}" for number in range(40))
    document = Document(
        text=text, metadata={"path": "a b c d e"}, excluded_embed_metadata_keys=["path"]
    )
    settings = {"strategy": "word", "max_chunking_size": 20, "overlap": 0}
    assert len(HFEndpointNodeParser(settings)([document])) == 2


def test_metadata_and_neighbours_may_be_left_out():
    parser = HFEndpointNodeParser(WORDS, include_metadata=False, include_prev_next_rel=False)
    nodes = parser([Document(text=TEXTS["prose"], metadata={"name": "prose"})])
    assert all(node.metadata == {} for node in nodes)
    assert all(node.prev_node is None and node.next_node is None for node in nodes)


def test_it_cuts_what_another_parser_cut_before():
    sections = {"First": "Some words of it. " * 12, "Second": "Other words of that. " * 12}
    text = "\n\n".join(f"# {title}\n\n{body}" for title, body in sections.items())
    document = Document(text=text)
    nodes = HFEndpointNodeParser(SENTENCES)(MarkdownNodeParser()([document]))
    assert len(nodes) > 2
    assert all(text[node.start_char_idx : node.end_char_idx] == node.text for node in nodes)
    assert {node.ref_doc_id for node in nodes} == {document.id_}


def test_a_pipeline_that_runs_again_skips_what_it_has():
    pipeline = IngestionPipeline(transformations=[HFEndpointNodeParser(WORDS)])
    documents = [Document(text=TEXTS["prose"], id_="prose")]
    first = pipeline.run(documents=documents)
    again = pipeline.run(documents=documents)
    assert [node.id_ for node in again] == [node.id_ for node in first]  # from its cache


def test_callbacks_are_told_of_the_nodes():
    debug = LlamaDebugHandler(print_trace_on_end=False)
    parser = HFEndpointNodeParser(WORDS, callback_manager=CallbackManager([debug]))
    nodes = parser([Document(text=TEXTS["prose"])])
    [(_, end)] = debug.get_event_pairs(CBEventType.NODE_PARSING)
    assert end.payload["nodes"] == nodes


@MODES
async def test_an_empty_document_gives_no_node(mode):
    assert (
        await parsed(mode, HFEndpointNodeParser(), [Document(text=""), Document(text=" \n")]) == []
    )


@pytest.mark.parametrize("form", ["dict", "json"])
def test_a_dump_makes_the_same_parser_again(form):
    parser = HFEndpointNodeParser(WORDS, metadata_aware=False, include_prev_next_rel=False)
    dump = getattr(parser, f"to_{form}")()
    again = getattr(HFEndpointNodeParser, f"from_{form}")(dump)
    assert again.chunking_settings == parser.chunking_settings == ChunkingSettings(**WORDS)
    assert (again.metadata_aware, again.include_prev_next_rel) == (False, False)
    assert getattr(again, f"to_{form}")() == dump


def test_a_pickle_makes_the_same_parser_again():
    parser = HFEndpointNodeParser(WORDS)
    again = pickle.loads(pickle.dumps(parser))
    assert again.chunking_settings == parser.chunking_settings
    document = Document(text=TEXTS["prose"])
    assert [node.text for node in again([document])] == [node.text for node in parser([document])]


def test_a_wrong_setting_is_refused_in_words():
    with pytest.raises(SettingsError, match="max_chunking_size"):
        HFEndpointNodeParser({"strategy": "word", "max_chunking_size": 5})


def test_it_is_a_node_parser_of_llama_index():
    assert isinstance(HFEndpointNodeParser(), NodeParser)
    assert HFEndpointNodeParser.class_name() == "HFEndpointNodeParser"
    assert HFEndpointNodeParser()([TextNode(text="A node without a source.")])[0].end_char_idx == 24
