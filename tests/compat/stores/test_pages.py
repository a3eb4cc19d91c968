"""The pages whose code needs this group's packages run as pasted, each in an interpreter."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pages import not_named, pages_of, run
from recorded_index import RecordedIndex

RUN_HERE = pytest.mark.parametrize("page", pages_of("stores"), ids=lambda page: page.name)


@RUN_HERE
def test_the_blocks_of_the_page_run_as_pasted(page, gateway_url):
    # No folder of pytest's: PostgreSQL, which a page starts, may not enter those when root runs it.
    # Nor may gRPC, which other stores bring, do its own in the child between fork and exec.
    with TemporaryDirectory(prefix="page-") as folder, RecordedIndex(gateway_url) as node:
        variables = {"ELASTICSEARCH_URL": node.url, "GRPC_ENABLE_FORK_SUPPORT": "0"}
        done = run(page, Path(folder), variables)
    assert done.returncode == 0, done.stderr


def test_a_page_runs_without_the_node_that_it_may_use():
    page = next(page for page in pages_of("stores") if page.name == "migration.md")
    with TemporaryDirectory(prefix="page-") as folder:
        done = run(page, Path(folder))
    assert done.returncode == 0, done.stderr


@RUN_HERE
def test_the_page_names_what_its_blocks_need(page):
    assert not_named(page) == []
