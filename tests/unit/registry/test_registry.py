"""The registry of endpoints: names, rules, the file and its mode, and where the key is."""

import asyncio
import json
import logging
import os
import pickle
import sqlite3
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest
from rendered_errors import rendered

from langchain_hf_endpoint import (
    EndpointExistsError,
    EndpointValidationError,
    HFEndpointEmbeddings,
    HFEndpointError,
    InferenceEndpoint,
    InferenceEndpoints,
    ModelChangedError,
    RegistryError,
    SettingsError,
    UnknownEndpointError,
)
from langchain_hf_endpoint.registry import registry, store
from langchain_hf_endpoint.testing import ScriptedEndpoint

URL = "https://x.endpoints.huggingface.cloud"
SIDE = ("-wal", "-shm")
CANARY = "hf_CaNaRyCaNaRyCaNaRyCaNaRyCaNaRyCaNa"

# The file as version 1 made it. A later version must open it: never change this.
VERSION_1 = """
    CREATE TABLE endpoints (
        inference_id TEXT PRIMARY KEY, task_type TEXT NOT NULL, config TEXT NOT NULL,
        model_id TEXT, dimensions INTEGER, similarity TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE secrets (
        inference_id TEXT PRIMARY KEY REFERENCES endpoints ON DELETE CASCADE,
        api_key TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE last_models (
        inference_id TEXT PRIMARY KEY, model_id TEXT, dimensions INTEGER
    ) WITHOUT ROWID;
    INSERT INTO endpoints VALUES (
        'old', 'text_embedding',
        '{"service": "hugging_face", "service_settings": {"url": "https://example.org",
          "rate_limit": {"requests_per_minute": 60}},
          "chunking_settings": {"strategy": "word", "max_chunking_size": 20, "overlap": 5}}',
        'a/model', 384, 'cosine'
    );
    INSERT INTO secrets VALUES ('old', 'hf_old');
    INSERT INTO last_models VALUES ('old', 'a/model', 384);
    PRAGMA application_id = 0x68666570;
    PRAGMA user_version = 1;
"""


@pytest.fixture(autouse=True)
def _no_token(monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "endpoints.db"


@pytest.fixture(params=["memory", "file"])
def endpoints(request, path):
    with InferenceEndpoints(path if request.param == "file" else None) as endpoints:
        yield endpoints


def config(url=URL, chunking=None, task=None, **service):
    parts = {"service": "hugging_face", "service_settings": {"url": url, **service}}
    if chunking is not None:
        parts["chunking_settings"] = chunking
    return parts if task is None else {**parts, "task_settings": task}


def put(endpoints, inference_id="a", *, allow_model_change=False, **parts):
    return endpoints.put(
        inference_id=inference_id,
        inference_config=config(**parts),
        skip_validation=True,
        allow_model_change=allow_model_change,
    )


def update(endpoints, inference_id="a", **service):
    change = {"service_settings": service}
    return endpoints.update(inference_id=inference_id, inference_config=change)


def fields(caught):
    return [name for name, _ in caught.value.problems]


def mode(file):
    return stat.S_IMODE(os.lstat(file).st_mode)


def raw_tables(path):
    """All rows of all tables as text, by table."""
    with sqlite3.connect(path) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master")]
        rows = {name: str(list(connection.execute(f"SELECT * FROM {name}"))) for name in names}
    connection.close()
    return rows


# A mapping from names to endpoints


def test_what_is_put_comes_back_as_an_endpoint_that_is_ready_to_embed(endpoints):
    chunking = {"strategy": "word", "max_chunking_size": 50, "overlap": 5}
    put(endpoints, api_key=CANARY, timeout=7, chunking=chunking, task={"query_prompt": "q: "})
    endpoint = endpoints["a"]
    assert endpoint == InferenceEndpoint.from_config(
        task_type="text_embedding",
        inference_id="a",
        inference_config=config(
            api_key=CANARY, timeout=7, chunking=chunking, task={"query_prompt": "q: "}
        ),
    )
    assert endpoint.service_settings.find_key().get_secret_value() == CANARY
    assert HFEndpointEmbeddings(endpoint=endpoint).endpoint is endpoint


def test_names_are_in_order_and_can_be_counted_and_asked_for(endpoints):
    for name in ("b", "a.1", "a", "a-1", "0", "a_1"):
        put(endpoints, name)
    assert list(endpoints) == endpoints.keys() == sorted(["b", "a.1", "a", "a-1", "0", "a_1"])
    assert len(endpoints) == 6
    assert "a.1" in endpoints
    assert set(dict(endpoints)) == set(endpoints)
    for other in ("A", "", "aa", 1, None, "\ud800", "a'--"):
        assert other not in endpoints


@pytest.mark.parametrize("other", ["missing", "", "\ud800", 'x" OR 1=1', 5])
def test_an_unknown_name_is_a_key_error_that_says_so(endpoints, other):
    put(endpoints)
    for act in (
        lambda: endpoints[other],
        lambda: endpoints.get(inference_id=other),
        lambda: endpoints.delete(inference_id=other),
        lambda: update(endpoints, other, timeout=1),
    ):
        with pytest.raises(UnknownEndpointError) as caught:
            act()
        assert isinstance(caught.value, KeyError)
        assert str(caught.value).startswith("Inference endpoint not found [")
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_get_returns_the_json_of_one_or_of_all_in_order(endpoints):
    assert endpoints.get() == []
    put(endpoints, "b", dimensions=384, model_id="a/model")
    put(endpoints, "a", similarity="dot_product", chunking={"strategy": "none"})
    expected = {
        "inference_id": "a",
        "task_type": "text_embedding",
        "service": "hugging_face",
        "service_settings": {
            "url": URL,
            "rate_limit": {"requests_per_minute": 3000},
            "similarity": "dot_product",
        },
        "chunking_settings": {"strategy": "none"},
    }
    assert endpoints.get(inference_id="a") == expected
    assert endpoints.get(inference_id="a", task_type="text_embedding") == expected
    everything = endpoints.get(task_type="text_embedding")
    assert [each["inference_id"] for each in everything] == ["a", "b"]
    known = {"dimensions": 384, "model_id": "a/model", "similarity": "cosine"}
    assert known.items() <= everything[1]["service_settings"].items()


def test_put_and_update_return_what_get_returns(endpoints):
    assert put(endpoints, dimensions=5) == endpoints.get(inference_id="a")
    assert update(endpoints, timeout=5) == endpoints.get(inference_id="a")


def test_what_get_returns_can_be_put_again(endpoints):
    put(endpoints, dimensions=5, model_id="a/model", timeout=3, task={"document_prompt": "d: "})
    first = endpoints.get(inference_id="a")
    parts = {key: first[key] for key in first if key not in ("inference_id", "task_type")}
    endpoints.delete(inference_id="a")
    again = endpoints.put(inference_id="a", inference_config=parts, skip_validation=True)
    assert again == first


@pytest.mark.parametrize("task_type", ["sparse_embedding", "", 1])
def test_another_task_type_is_refused_by_name(endpoints, task_type):
    with pytest.raises(SettingsError, match="task_type"):
        endpoints.get(task_type=task_type)
    with pytest.raises(SettingsError, match="task_type"):
        endpoints.put(task_type=task_type, inference_id="a", inference_config=config())


# Put


@pytest.mark.parametrize(
    ("name", "parts", "wrong"),
    [
        ("_all", {}, ["inference_id"]),
        ("A", {}, ["inference_id"]),
        ("a" * 101, {}, ["inference_id"]),
        (None, {}, ["inference_id"]),
        ("a", {"url": "ftp://x"}, ["service_settings.url"]),
        ("a", {"timeout": 0, "surprise": 1}, ["service_settings.timeout", "service_settings.sur"]),
        ("a", {"dimensions": 0, "timeout": 0}, ["service_settings.timeout", "service_settings.di"]),
        ("a", {"dimensions": "3"}, ["service_settings.dimensions"]),
        ("a", {"similarity": "close"}, ["service_settings.similarity"]),
        ("a", {"model_id": 1}, ["service_settings.model_id"]),
        ("a", {"dimensions": 3, "task": {"dimensions": 4}}, ["service_settings.dimensions"]),
        ("a", {"chunking": {"strategy": "none", "overlap": 1}}, ["chunking_settings.overlap"]),
    ],
    ids=str,
)
def test_a_wrong_put_names_every_wrong_field_and_stores_nothing(endpoints, name, parts, wrong):
    with pytest.raises(SettingsError) as caught:
        put(endpoints, name, **parts)
    for field, start in zip(fields(caught), wrong, strict=True):
        assert field.startswith(start)
    assert len(endpoints) == 0


@pytest.mark.parametrize("inference_config", [None, [], "{}", {}, {"service_settings": None}])
def test_a_config_that_is_none_is_refused(endpoints, inference_config):
    with pytest.raises(SettingsError):
        endpoints.put(inference_id="a", inference_config=inference_config)


def test_a_name_in_use_is_refused_before_anything_is_sent(endpoints, httpx_mock):
    before = put(endpoints, api_key="hf_first")
    with pytest.raises(EndpointExistsError, match=r"\[a\] already exists"):
        endpoints.put(inference_id="a", inference_config=config(url="https://example.org"))
    assert httpx_mock.get_requests() == []
    assert endpoints.get(inference_id="a") == before
    assert endpoints["a"].service_settings.find_key().get_secret_value() == "hf_first"


async def test_the_async_put_refuses_the_same_things(endpoints, httpx_mock):
    done = await endpoints.aput(
        inference_id="a", inference_config=config(dimensions=3), skip_validation=True
    )
    assert done == endpoints.get(inference_id="a")
    with pytest.raises(EndpointExistsError):
        await endpoints.aput(inference_id="a", inference_config=config())
    with pytest.raises(SettingsError):
        await endpoints.aput(inference_id="b", inference_config=config(timeout=0))
    assert httpx_mock.get_requests() == []


def test_of_many_threads_that_put_one_name_exactly_one_wins(endpoints):
    at_once, outcomes = threading.Barrier(8), []

    def compete(number):
        at_once.wait()
        try:
            put(endpoints, api_key=f"hf_{number}", max_batch_size=number + 1)
            outcomes.append(number)
        except EndpointExistsError:
            pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(compete, range(8)))
    (winner,) = outcomes
    service = endpoints["a"].service_settings
    assert service.find_key().get_secret_value() == f"hf_{winner}"
    assert service.max_batch_size == winner + 1


# Another model under an old name


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"dimensions": 384}, {"dimensions": 768}),
        ({"dimensions": 384, "model_id": "a"}, {"dimensions": 384, "model_id": "b"}),
        ({"task": {"dimensions": 384}}, {"dimensions": 768}),
    ],
)
def test_a_deleted_name_comes_back_with_another_model_only_on_request(endpoints, before, after):
    put(endpoints, **before)
    endpoints.delete(inference_id="a")
    with pytest.raises(ModelChangedError, match="allow_model_change") as caught:
        put(endpoints, **after)
    assert "384" in str(caught.value)
    assert str(after.get("model_id") or after["dimensions"]) in str(caught.value)
    assert "a" not in endpoints
    put(endpoints, **after, allow_model_change=True)
    endpoints.delete(inference_id="a")
    with pytest.raises(ModelChangedError):
        put(endpoints, **before)


def test_a_deleted_name_comes_back_with_the_same_model_and_another_url(endpoints):
    put(endpoints, dimensions=384, model_id="a", api_key=CANARY)
    endpoints.delete(inference_id="a")
    put(endpoints, dimensions=384, model_id="a", url="https://example.org")
    assert endpoints["a"].service_settings.find_key() is None


def test_a_model_that_is_not_known_does_not_wipe_out_what_is_remembered(endpoints):
    put(endpoints, dimensions=384)
    endpoints.delete(inference_id="a")
    put(endpoints)
    endpoints.delete(inference_id="a")
    with pytest.raises(ModelChangedError):
        put(endpoints, dimensions=768)


# Update


def test_update_changes_service_settings_and_leaves_all_else(endpoints):
    chunking = {"strategy": "word", "max_chunking_size": 40, "overlap": 3}
    put(endpoints, api_key=CANARY, timeout=9, chunking=chunking, dimensions=3)
    new = {
        "rate_limit": {"requests_per_minute": 10},
        "max_wait": 1.5,
        "max_batch_size": 4,
        "max_concurrent_requests": 2,
        "dialect": "tei",
    }
    update(endpoints, **new)
    config = endpoints.get(inference_id="a")
    expected = {"url": URL, "timeout": 9.0, "dimensions": 3, "similarity": "cosine", **new}
    assert config["service_settings"] == expected
    assert config["chunking_settings"] == chunking
    assert endpoints["a"].service_settings.find_key().get_secret_value() == CANARY


def test_none_puts_a_setting_back_to_its_default(endpoints):
    first = put(endpoints)
    update(endpoints, rate_limit={"requests_per_minute": 1}, timeout=1)
    assert update(endpoints, rate_limit=None, timeout=None) == first


@pytest.mark.parametrize("name", ["api_key", "api_key_env"])
def test_the_key_cannot_be_updated_and_the_error_says_what_to_do(endpoints, name):
    put(endpoints, api_key="hf_old")
    with pytest.raises(SettingsError, match="delete the endpoint and create it anew") as caught:
        update(endpoints, **{name: CANARY}, timeout=3)
    assert fields(caught) == [f"service_settings.{name}"]
    assert CANARY not in rendered(caught.value)
    assert endpoints["a"].service_settings.find_key().get_secret_value() == "hf_old"
    assert endpoints["a"].service_settings.timeout == 60


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"service_settings": {"url": URL}}, ["service_settings.url"]),
        ({"service_settings": {"dimensions": 3}}, ["service_settings.dimensions"]),
        ({"service_settings": {"similarity": "l2_norm"}}, ["service_settings.similarity"]),
        ({"service_settings": {"surprise": 3}}, ["service_settings.surprise"]),
        ({"service_settings": {"timeout": 0}}, ["service_settings.timeout"]),
        ({"service_settings": {"allow_insecure_http": True}}, ["service_settings.allow_insecure"]),
        ({"service": "hugging_face"}, ["service"]),
        ({"inference_id": "b", "task_type": "text_embedding"}, ["inference_id", "task_type"]),
        (
            {"chunking_settings": {}, "task_settings": {}, "service_settings": {"url": URL}},
            ["chunking_settings", "task_settings", "service_settings.url"],
        ),
        ({"service_settings": 3}, ["service_settings"]),
        ({"service_settings": {}}, ["service_settings"]),
        ({}, ["service_settings"]),
        ([], ["inference_config"]),
        (None, ["inference_config"]),
    ],
    ids=str,
)
def test_a_wrong_update_names_every_field_and_changes_nothing(endpoints, change, wrong):
    before = put(endpoints)
    with pytest.raises(SettingsError) as caught:
        endpoints.update(inference_id="a", inference_config=change)
    for field, start in zip(fields(caught), wrong, strict=True):
        assert field.startswith(start)
    assert endpoints.get(inference_id="a") == before


def test_updates_of_different_fields_by_many_threads_are_all_there(endpoints):
    put(endpoints)
    changes = [{"timeout": 5.0}, {"max_wait": 6.0}, {"max_batch_size": 7}, {"dialect": "tei"}]
    threads = [
        threading.Thread(target=update, args=(endpoints,), kwargs=change) for change in changes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    service = endpoints.get(inference_id="a")["service_settings"]
    assert all(change.items() <= service.items() for change in changes)


# Where the key is


def test_a_key_stands_in_the_secrets_table_and_nowhere_else(path, caplog):
    with caplog.at_level(logging.DEBUG), InferenceEndpoints(path) as endpoints:
        shown = [put(endpoints, api_key=CANARY), update(endpoints, timeout=3)]
        shown += [endpoints.get(), endpoints.get(inference_id="a"), endpoints, endpoints["a"]]
        shown += [endpoints.keys(), dict(endpoints), vars(endpoints)]
        assert CANARY not in "".join(map(repr, shown)) + json.dumps(shown[2]) + caplog.text
        tables = raw_tables(path)
    assert {name for name, rows in tables.items() if CANARY in rows} == {"secrets"}
    assert {"endpoints", "last_models"} <= tables.keys()


def test_no_refusal_shows_the_key(endpoints):
    put(endpoints, api_key="hf_first", dimensions=3)
    put(endpoints, "b", dimensions=3)
    endpoints.delete(inference_id="b")
    of_url = {"url": f"https://user:{CANARY}@host.example"}
    for parts in ({}, {"timeout": 0}, {"dimensions": 0}, {"name": "b", "dimensions": 4}, of_url):
        with pytest.raises(HFEndpointError) as caught:
            put(endpoints, parts.pop("name", "a"), api_key=CANARY, **parts)
        assert CANARY not in rendered(caught.value)
    for wrong in ({"api_key": CANARY}, {"service_settings": {"api_key": [CANARY]}}, CANARY):
        with pytest.raises(SettingsError) as caught:
            endpoints.update(inference_id="a", inference_config=wrong)
        assert CANARY not in rendered(caught.value)


def test_a_failure_to_write_does_not_show_the_key(path):
    with InferenceEndpoints(path) as endpoints:
        with sqlite3.connect(path) as connection:
            connection.execute("DROP TABLE secrets")
        connection.close()
        with pytest.raises(RegistryError, match="no such table") as caught:
            put(endpoints, api_key=CANARY)
        assert CANARY not in rendered(caught.value)
        assert "a" not in endpoints


def test_of_a_key_in_the_environment_only_the_name_is_stored(path, monkeypatch):
    monkeypatch.setenv("MY_KEY", CANARY)
    with InferenceEndpoints(path) as endpoints:
        stored = put(endpoints, api_key_env="MY_KEY")
        assert stored["service_settings"]["api_key_env"] == "MY_KEY"
        assert endpoints["a"].service_settings.find_key().get_secret_value() == CANARY
    assert CANARY.encode() not in path.read_bytes()


def test_a_deleted_key_is_wiped_from_the_file(path):
    with InferenceEndpoints(path) as endpoints:
        put(endpoints, api_key=CANARY)
    assert CANARY.encode() in path.read_bytes()
    with InferenceEndpoints(path) as endpoints:
        endpoints.delete(inference_id="a")
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert CANARY.encode() not in path.read_bytes()


# The file


def test_what_is_in_a_file_is_there_when_it_is_opened_again(path):
    with InferenceEndpoints(path) as endpoints:
        first = put(endpoints, api_key=CANARY, dimensions=3)
        put(endpoints, "gone", dimensions=3)
        endpoints.delete(inference_id="gone")
    with InferenceEndpoints(str(path)) as endpoints:
        assert endpoints.get() == [first]
        assert endpoints["a"].service_settings.find_key().get_secret_value() == CANARY
        with pytest.raises(ModelChangedError):
            put(endpoints, "gone", dimensions=4)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_the_files_are_for_their_owner_whatever_the_umask(path, umask):
    before = os.umask(umask)
    try:
        with InferenceEndpoints(path) as endpoints:
            put(endpoints, api_key=CANARY)
            files = list(path.parent.iterdir())
            assert {file.name for file in files} == {path.name, *(path.name + e for e in SIDE)}
            assert {mode(file) for file in files} == {0o600}
    finally:
        os.umask(before)


def test_the_file_is_never_more_open_than_for_its_owner(tmp_path):
    """An audit hook looks at the folder at each step of Python's and SQLite's opening."""
    script = (
        "import os, stat, sys\n"
        "folder, seen = sys.argv[1], set()\n"
        "def look(event, args):\n"
        "    if event in ('open', 'sqlite3.connect', 'sqlite3.connect/handle', 'os.chmod'):\n"
        "        for file in os.scandir(folder):\n"
        "            seen.add(stat.S_IMODE(file.stat().st_mode))\n"
        "os.umask(0)\n"
        "from langchain_hf_endpoint import InferenceEndpoints\n"
        "sys.addaudithook(look)\n"
        "with InferenceEndpoints(folder + '/e.db') as endpoints:\n"
        "    list(endpoints); look('open', ())\n"
        "assert seen == {0o600}, seen\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)


@pytest.mark.parametrize("wide", [0o644, 0o640, 0o604, 0o660, 0o601])
@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-journal"])
def test_a_file_that_others_can_open_is_refused_and_left_as_it_is(path, wide, ending):
    InferenceEndpoints(path).close()
    file = path.with_name(path.name + ending)
    file.touch()
    file.chmod(wide)
    with pytest.raises(RegistryError, match=f"chmod 600 {file}"):
        InferenceEndpoints(path)
    assert mode(file) == wide


@pytest.mark.parametrize("content", ["root:x:0:0:root:/root:/bin/bash\n", "an SQLite file"])
def test_the_mode_of_another_programs_file_is_nothing_to_change(path, content):
    if content == "an SQLite file":
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA application_id = 7")
    else:
        path.write_text(content)
    path.chmod(0o644)
    with pytest.raises(RegistryError, match="is no registry") as raised:
        InferenceEndpoints(path)
    assert "chmod" not in str(raised.value)


def test_a_link_a_folder_and_a_file_in_no_folder_are_refused(tmp_path, path):
    InferenceEndpoints(path).close()
    link = tmp_path / "link.db"
    link.symlink_to(path)
    nowhere = tmp_path / "nowhere.db"
    nowhere.symlink_to(tmp_path / "other.db")
    for wrong, problem in [
        (link, "symbolic link"),
        (nowhere, "symbolic link"),
        (tmp_path, "is no file"),
        (tmp_path / "missing" / "e.db", "cannot be made"),
        (path / "below-a-file.db", "cannot be made"),
        (f"{path}\0", "cannot be made: .*null"),
    ]:
        with pytest.raises(RegistryError, match=problem):
            InferenceEndpoints(wrong)
    assert not (tmp_path / "other.db").exists()


def make(path, script):
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    path.chmod(0o600)
    return path.read_bytes()


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE t (x)",
        "PRAGMA user_version = 1",
        "PRAGMA application_id = 7",
        "PRAGMA application_id = 7; PRAGMA user_version = 1; CREATE TABLE endpoints (x)",
    ],
)
def test_a_file_of_another_program_is_refused_and_left_as_it_is(path, script):
    content = make(path, script)
    with pytest.raises(RegistryError, match="of another program"):
        InferenceEndpoints(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"endpoints: []\n", b"\x00" * 4096, b"SQLite format 3\x00no"])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(path, content):
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(RegistryError, match=r"not a database|malformed"):
        InferenceEndpoints(path)
    assert path.read_bytes() == content


def test_an_empty_file_as_a_killed_process_leaves_it_is_taken(path):
    path.touch(0o600)
    with InferenceEndpoints(path) as endpoints:
        put(endpoints)
        assert len(endpoints) == 1


def test_what_is_left_of_a_deleted_file_is_not_taken_for_a_new_one(path):
    with InferenceEndpoints(path) as endpoints:
        put(endpoints, api_key=CANARY)
        path.unlink()
        with pytest.raises(RegistryError, match="-wal"):
            InferenceEndpoints(path)
        assert not path.exists()


def test_a_file_of_version_1_is_opened(path):
    make(path, VERSION_1)
    with InferenceEndpoints(path) as endpoints:
        endpoint = endpoints["old"]
        assert endpoint.service_settings.find_key().get_secret_value() == "hf_old"
        assert endpoint.chunking_settings.overlap == 5
        assert endpoints.get(inference_id="old")["service_settings"]["dimensions"] == 384
        endpoints.delete(inference_id="old")
        with pytest.raises(ModelChangedError):
            put(endpoints, "old", dimensions=3)
    assert "old" not in raw_tables(path)["secrets"]


def test_an_older_file_takes_the_steps_it_lacks_and_then_is_a_newer_one(path, monkeypatch):
    make(path, VERSION_1)
    steps = (*store.REGISTRY.steps, ("CREATE TABLE more (x)", "INSERT INTO more VALUES (1)"))
    with monkeypatch.context() as later:
        later.setattr(registry, "REGISTRY", replace(store.REGISTRY, steps=steps))
        for _ in range(2):
            with InferenceEndpoints(path) as endpoints:
                assert list(endpoints) == ["old"]
        assert raw_tables(path)["more"] == "[(1,)]"
    content = path.read_bytes()
    with pytest.raises(RegistryError, match=r"newer version .*format 3.* knows 2.*Upgrade"):
        InferenceEndpoints(path)
    assert path.read_bytes() == content


def test_a_step_that_fails_leaves_the_file_as_it_was(path, monkeypatch):
    make(path, VERSION_1)
    with monkeypatch.context() as later:
        broken = (*store.REGISTRY.steps, ("CREATE TABLE more (x)", "no SQL"))
        later.setattr(registry, "REGISTRY", replace(store.REGISTRY, steps=broken))
        with pytest.raises(RegistryError, match="syntax error"):
            InferenceEndpoints(path)
    with InferenceEndpoints(path) as endpoints:
        assert list(endpoints) == ["old"]
    assert "more" not in raw_tables(path)


# Threads, forks, closing


def test_all_threads_see_one_registry(endpoints):
    def work(number):
        put(endpoints, f"t{number}")
        update(endpoints, f"t{number}", timeout=number + 1)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [endpoints[f"t{n}"].service_settings.timeout for n in range(10)] == list(range(1, 11))


def test_a_registry_in_memory_is_its_own():
    with InferenceEndpoints() as one, InferenceEndpoints(":memory:") as other:
        put(one)
        assert len(other) == 0


def test_a_relative_path_means_the_folder_in_which_it_was_opened(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    with InferenceEndpoints(path.name) as endpoints:
        monkeypatch.chdir("/")
        thread = threading.Thread(target=put, args=(endpoints,))
        thread.start()
        thread.join()
        assert "a" in endpoints
        assert repr(endpoints) == f"InferenceEndpoints({str(path)!r})"


def test_a_closed_registry_says_so(endpoints):
    endpoints.close()
    endpoints.close()
    for act in (lambda: len(endpoints), lambda: put(endpoints), lambda: endpoints["a"]):
        with pytest.raises(RegistryError, match="is closed"):
            act()
    assert repr(endpoints).startswith("InferenceEndpoints(")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_goes_on_while_a_thread_of_its_parent_is_writing(path):
    """In a process of its own: pytest's has threads and plugins of which a fork knows nothing."""
    script = f"""
import os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: fork with threads, which is the point
from langchain_hf_endpoint import InferenceEndpoints

def put(endpoints, name):
    endpoints.put(inference_id=name, inference_config={config()!r}, skip_validation=True)

file, memory = InferenceEndpoints(sys.argv[1]), InferenceEndpoints()
stop = threading.Event()
def write():
    number = 0
    while not stop.is_set():
        put(file, f"parent-{{number}}")
        put(memory, f"parent-{{number}}")
        number += 1
writers = [threading.Thread(target=write)]
writers[0].start()
while not len(memory): pass
for child in range(10):
    pid = os.fork()
    if not pid:
        put(file, f"child-{{child}}")
        put(memory, "child")
        os._exit(0 if f"child-{{child}}" in file and len(file) > 1 and "child" in memory else 1)
    assert os.waitpid(pid, 0)[1] == 0
stop.set()
writers[0].join()
assert "child" not in memory
assert sum(name.startswith("child") for name in file) == 10
file.close()
"""
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, timeout=60)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="no owners")
def test_a_file_of_another_user_is_refused(path, monkeypatch):
    InferenceEndpoints(path).close()
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner)
    InferenceEndpoints(path).close()
    real = os.lstat

    def of_another(name: str) -> os.stat_result:
        found = list(real(name))
        found[4] = 4321
        return os.stat_result(found)

    monkeypatch.setattr(os, "lstat", of_another)
    with pytest.raises(RegistryError, match=r"belongs to another user \(number 4321\).*chown"):
        InferenceEndpoints(path)


def test_a_file_that_was_moved_away_takes_no_more_changes(path, tmp_path):
    with InferenceEndpoints(path) as endpoints:
        put(endpoints, "before")
        path.rename(tmp_path / "elsewhere.db")
        with pytest.raises(RegistryError, match="is gone"):
            put(endpoints, "after")
        with pytest.raises(RegistryError, match="is gone"):
            endpoints.get()


def test_a_file_that_was_put_in_its_place_is_the_one_that_is_used(path, tmp_path):
    other = tmp_path / "other.db"
    with InferenceEndpoints(other) as endpoints:
        put(endpoints, "theirs")
    with InferenceEndpoints(path) as endpoints:
        put(endpoints, "ours")
        for ending in SIDE:
            path.with_name(path.name + ending).unlink(missing_ok=True)
        other.replace(path)
        assert list(endpoints) == ["theirs"]
        put(endpoints, "ours")
        assert list(endpoints) == ["ours", "theirs"]


def test_a_file_that_is_moved_in_the_middle_of_a_change_is_not_changed(path, tmp_path, monkeypatch):
    with InferenceEndpoints(path) as endpoints:
        put(endpoints, "before")
        moved = tmp_path / "elsewhere.db"
        real = json.dumps

        def move(*arguments: object, **options: object) -> str:
            path.rename(moved)
            return real(*arguments, **options)

        with monkeypatch.context() as patched:
            patched.setattr("langchain_hf_endpoint.registry.store.json.dumps", move)
            with pytest.raises(RegistryError, match="moved or replaced"):
                put(endpoints, "after")
        moved.rename(path)
        assert list(endpoints) == ["before"]


def test_the_name_of_a_model_is_kept_and_cannot_be_updated():
    with InferenceEndpoints() as endpoints:
        service = {"url": "http://127.0.0.1:9", "model": "intfloat/e5-small-v2"}
        config = {"service": "hugging_face", "service_settings": service}
        endpoints.put(inference_id="mine", inference_config=config, skip_validation=True)
        stored = endpoints.get(inference_id="mine")
        assert stored["service_settings"]["model"] == "intfloat/e5-small-v2"
        change = {"service_settings": {"model": "BAAI/bge-m3"}}
        with pytest.raises(SettingsError, match="create it anew, since another model"):
            endpoints.update(inference_id="mine", inference_config=change)


# A new key


@pytest.fixture
def locked():
    with ScriptedEndpoint(api_key="hf_the-old-key") as server:
        yield server


def put_locked(endpoints, server):
    settings = {"url": server.url, "api_key": "hf_the-old-key"}
    config = {"service": "hugging_face", "service_settings": settings}
    return endpoints.put(inference_id="mine", inference_config=config)


def test_a_key_is_rotated_once_the_endpoint_has_answered_with_it(locked):
    with InferenceEndpoints() as endpoints:
        before = put_locked(endpoints, locked)
        locked.configure(api_key="hf_the-new-key")
        assert endpoints.rotate_key(inference_id="mine", api_key="hf_the-new-key") == before
        key = endpoints["mine"].service_settings.api_key
        assert key.get_secret_value() == "hf_the-new-key"
        assert len(HFEndpointEmbeddings(endpoint=endpoints["mine"]).embed_query("text")) == 384


async def test_a_key_that_does_not_work_is_not_stored(locked):
    with InferenceEndpoints() as endpoints:
        put_locked(endpoints, locked)
        with pytest.raises(EndpointValidationError, match="keeps its key") as raised:
            endpoints.rotate_key(inference_id="mine", api_key="hf_a-wrong-key")
        with pytest.raises(EndpointValidationError, match="keeps its key") as later:
            await endpoints.arotate_key(inference_id="mine", api_key="hf_a-wrong-key")
        for error in (raised.value, later.value):
            assert "hf_a-wrong" not in f"{error!r}{error.__cause__!r}"
        key = endpoints["mine"].service_settings.api_key
        assert key.get_secret_value() == "hf_the-old-key"


def test_a_key_goes_to_no_other_host_that_took_the_name_meanwhile(locked):
    with InferenceEndpoints() as endpoints, ScriptedEndpoint() as other:
        put_locked(endpoints, locked)
        locked.configure(api_key="hf_the-new-key")

        async def describe(endpoint):
            endpoints.delete(inference_id="mine")
            settings = {"url": other.url, "api_key": "hf_of-the-other"}
            config = {"service": "hugging_face", "service_settings": settings}
            endpoints.put(inference_id="mine", inference_config=config, allow_model_change=True)
            return await endpoint.adescribe()

        rotation = endpoints.arotate_key(
            inference_id="mine", api_key="hf_the-new-key", describe=describe
        )
        with pytest.raises(RegistryError, match="created anew meanwhile"):
            asyncio.run(rotation)
        key = endpoints["mine"].service_settings.api_key
        assert key.get_secret_value() == "hf_of-the-other"


def test_a_key_of_the_environment_is_not_rotated_here(locked, monkeypatch):
    monkeypatch.setenv("MY_KEY", "hf_the-old-key")
    with InferenceEndpoints() as endpoints:
        settings = {"url": locked.url, "api_key_env": "MY_KEY"}
        config = {"service": "hugging_face", "service_settings": settings}
        endpoints.put(inference_id="mine", inference_config=config)
        with pytest.raises(SettingsError, match="MY_KEY"):
            endpoints.rotate_key(inference_id="mine", api_key="hf_the-new-key")
        with pytest.raises(UnknownEndpointError):
            endpoints.rotate_key(inference_id="other", api_key="hf_the-new-key")
        with pytest.raises(SettingsError, match="api_key"):
            endpoints.rotate_key(inference_id="mine", api_key="")
