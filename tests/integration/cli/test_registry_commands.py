"""`put`, `get`, `list`, `update` and `delete`: endpoints under names, keys from safe places."""

from __future__ import annotations

import json
import stat
import subprocess
import sys

import pytest
from commands import run

from langchain_hf_endpoint import InferenceEndpoints

KEY = "hf_secret_of_a_test"


@pytest.fixture
def stored(tei_double):
    """An endpoint in the registry."""
    assert run("put", "mine", "--url", tei_double.url, "--rpm", 600).exit_code == 0


def read(*arguments: object) -> object:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_what_was_put_is_there_for_programs_too(stored, registry, tei_double):
    config = read("get", "mine")
    assert config["service_settings"]["dimensions"] == 384
    assert config["service_settings"]["rate_limit"] == {"requests_per_minute": 600}
    assert read("list") == [config]
    with InferenceEndpoints(registry) as endpoints:
        assert endpoints["mine"].service_settings.url == tei_double.url
    assert stat.S_IMODE(registry.stat().st_mode) == 0o600


def test_a_name_in_use_is_refused(stored, tei_double):
    again = run("put", "mine", "--url", tei_double.url)
    assert again.exit_code == 1
    assert "mine" in again.stderr


def test_an_endpoint_that_does_not_embed_is_not_kept(tei_double):
    tei_double.configure(api_key=KEY)
    assert run("put", "mine", "--url", tei_double.url).exit_code == 4
    assert read("list") == []
    assert run("put", "mine", "--url", tei_double.url, "--skip-validation").exit_code == 0


def test_options_go_over_the_json_of_a_file_or_of_standard_input(tei_double, tmp_path):
    config = {
        "service": "hugging_face",
        "service_settings": {"url": tei_double.url, "rate_limit": {"requests_per_minute": 900}},
        "chunking_settings": {"strategy": "word", "max_chunking_size": 100, "overlap": 10},
    }
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    run("put", "of-file", file, "--rpm", 60, "--size", 80)
    run("put", "of-stdin", "-", input=json.dumps(config))
    told = read("get", "of-file")
    assert told["service_settings"]["rate_limit"] == {"requests_per_minute": 60}
    assert told["chunking_settings"]["strategy"] == "word"
    assert told["chunking_settings"]["max_chunking_size"] == 80
    assert read("get", "of-stdin")["chunking_settings"] == config["chunking_settings"]


@pytest.mark.parametrize("content", ["{", "[]", '{"service_settings": {"url": "ftp://a"}}'])
def test_json_that_is_wrong_is_told_without_its_content(tmp_path, content):
    file = tmp_path / "config.json"
    file.write_text(content.replace("{", f'{{"x": "{KEY}", ', 1))
    done = run("put", "mine", file)
    assert done.exit_code == 1
    assert KEY not in done.output
    assert "Traceback" not in done.output


def test_the_key_comes_from_the_environment_a_file_or_a_prompt(tei_double, tmp_path, monkeypatch):
    tei_double.configure(api_key=KEY)
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    monkeypatch.setenv("MY_KEY", KEY)
    url = ("--url", tei_double.url)
    outputs = [
        run("put", "a", *url, "--key", "env:MY_KEY").output,
        run("put", "b", *url, "--key", f"file:{file}").output,
        run("put", "c", *url, "--key", "ask", input=f"{KEY}\n").output,
    ]
    assert [one["inference_id"] for one in read("list")] == ["a", "b", "c"]
    outputs += [run("get", name).output for name in "abc"]
    assert KEY not in "".join(outputs)


def test_of_a_variable_only_the_name_is_kept(tei_double, registry, monkeypatch):
    tei_double.configure(api_key=KEY)
    monkeypatch.setenv("MY_KEY", KEY)
    run("put", "a", "--url", tei_double.url, "--key", "env:MY_KEY")
    assert KEY.encode() not in b"".join(path.read_bytes() for path in registry.parent.iterdir())
    assert run("check", "a").exit_code == 0
    monkeypatch.delenv("MY_KEY")
    assert run("check", "a").exit_code != 0


@pytest.mark.parametrize("source", [KEY, "env:", "file:", "file:/nowhere/at/all", "ASK"])
def test_a_key_itself_is_not_taken_and_not_repeated(tei_double, source):
    done = run("put", "a", "--url", tei_double.url, "--key", source)
    assert done.exit_code == 2
    assert KEY not in done.output
    assert tei_double.arrivals == []


@pytest.mark.parametrize("key", [f"hf_{'aB3' * 12}", f"sk-{'aB3' * 12}", f"Bearer {'aB3' * 12}"])
@pytest.mark.parametrize(
    "option", ["--dialect", "--strategy", "--language", "--rpm", "--size", "--key", "--nonsense"]
)
def test_a_key_in_any_option_is_not_repeated(tei_double, option, key):
    done = run("put", "a", "--url", tei_double.url, option, key)
    assert done.exit_code
    assert key not in done.output
    assert "aB3" * 12 not in done.output.replace(key, "")


def test_how_it_is_used_may_change_what_it_is_may_not(stored, tmp_path):
    run("update", "mine", "--rpm", 60, "--max-wait", 5, "--batch", 8, "--at-once", 2)
    service = read("get", "mine")["service_settings"]
    assert service["rate_limit"] == {"requests_per_minute": 60}
    assert (service["max_wait"], service["max_batch_size"]) == (5, 8)
    file = tmp_path / "new.json"
    file.write_text(json.dumps({"service_settings": {"api_key": KEY}}))
    done = run("update", "mine", file)
    assert done.exit_code == 1
    assert KEY not in done.output


def test_deleting_asks_first(stored):
    asked = run("delete", "mine")  # its standard input is no terminal
    assert asked.exit_code == 1
    assert "--yes" in asked.stderr
    assert run("delete", "mine", "--yes").exit_code == 0
    assert run("delete", "mine", "--yes").exit_code == 1
    assert read("list") == []


def test_a_table_for_people(stored, tei_double):
    shown = run("list").stdout
    for words in ("mine", tei_double.url.removeprefix("http://"), "384", "600", "sentence 250+1"):
        assert words in shown


def test_a_registry_that_is_not_where_it_was_said_is_an_error_and_not_made(registry, tmp_path):
    for path in (registry, tmp_path / "nodir" / "r.db"):
        for command in (["list"], ["get", "mine"], ["check", "mine"], ["delete", "mine", "--yes"]):
            done = run(*command, "--database", path)
            assert done.exit_code == 1
            assert f"{path} does not exist" in done.stderr
            assert "put --help" in done.stderr
            assert not path.exists()
    assert run("list").exit_code == 1


def test_without_a_registry_of_ones_own_there_are_no_endpoints(tmp_path, monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT_REGISTRY")
    for name in ("HOME", "XDG_CONFIG_HOME", "APPDATA", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    done = run("list")
    assert done.exit_code == 0
    assert "put --help" in done.stderr
    assert not (tmp_path / "home").exists()


def test_the_option_goes_before_the_variable(tei_double, registry, tmp_path):
    other = tmp_path / "other.db"
    run("put", "mine", "--url", tei_double.url, "--database", other)
    assert other.exists()
    assert not registry.exists()
    assert run("get", "mine", "--database", other).exit_code == 0


def test_without_either_it_is_in_the_users_own_folder(tei_double, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT_REGISTRY")
    for name in ("HOME", "XDG_CONFIG_HOME", "APPDATA", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    run("put", "mine", "--url", tei_double.url)
    (found,) = (tmp_path / "home").rglob("endpoints.db")
    assert found.parent.name == "hf-endpoint"
    assert stat.S_IMODE(found.parent.stat().st_mode) == 0o700
    assert run("get", "mine").exit_code == 0


def test_reading_the_help_loads_no_http_library():
    code = (
        "import sys; from langchain_hf_endpoint.cli.app import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('httpx', 'numpy', 'pyarrow', 'rich.console') "
        "if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


USAGE = ("--rpm", 60, "--max-wait", 5, "--timeout", 7, "--batch", 8, "--at-once", 2)
USED = {"max_wait": 5, "timeout": 7, "max_batch_size": 8, "max_concurrent_requests": 2}


@pytest.mark.parametrize("command", ["put", "update"])
def test_how_an_endpoint_is_used_is_said_with_the_same_options(tei_double, command):
    url = ("--url", tei_double.url)
    if command == "update":
        assert run("put", "mine", *url).exit_code == 0
        url = ()
    assert run(command, "mine", *url, *USAGE).exit_code == 0
    service = read("get", "mine")["service_settings"]
    assert {name: service[name] for name in USED} == USED
    assert service["rate_limit"] == {"requests_per_minute": 60}


def test_a_section_that_is_none_is_told_in_words(tmp_path):
    config = tmp_path / "config.json"
    config.write_text('{"service": "hugging_face", "service_settings": []}')
    done = run("put", "mine", config, "--rpm", 5)
    assert done.exit_code == 1
    assert "service_settings" in done.stderr


@pytest.mark.parametrize("command", ["get", "check", "update", "delete"])
def test_a_name_that_is_not_there_is_told_in_the_words_of_the_commands(stored, command):
    done = run(command, "other")
    assert done.exit_code == 1
    assert "hf-endpoint list" in done.stderr
    assert "()" not in done.stderr


def test_a_name_in_use_is_told_in_the_words_of_the_commands(stored, tei_double):
    done = run("put", "mine", "--url", tei_double.url)
    assert "hf-endpoint update" in done.stderr
    assert "()" not in done.stderr


def test_a_table_that_is_piped_is_not_wrapped(tei_double, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    name = "a-name-of-many-letters-" * 4 + "x"
    tei_double.configure(model_id="an-owner-of-many-letters/a-model-of-a-great-many-letters")
    assert run("put", name, "--url", tei_double.url).exit_code == 0
    (line,) = run("list").stdout.splitlines()[1:]
    assert name in line
    assert "a-model-of-a-great-many-letters" in line
