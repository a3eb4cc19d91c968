"""The pages whose code needs this group's packages: each block is run, as a reader would."""

import pytest
from pages import pages_of, run
from recorded_index import RecordedIndex


@pytest.mark.parametrize("page", pages_of("stores"), ids=lambda page: page.name)
def test_every_block_of_the_page_runs(
    page, local_server, gateway_url, postgres, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with RecordedIndex(gateway_url) as node:
        run(
            page,
            {
                "server": local_server,
                "postgres_url": postgres,
                "elasticsearch_url": node.url,
            },
        )
