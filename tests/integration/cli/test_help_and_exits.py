"""What every command has in common: help on one screen, completion, exit statuses."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest
import typer
from commands import run

from langchain_hf_endpoint import __version__
from langchain_hf_endpoint.cli.app import app
from langchain_hf_endpoint.cli.output import errors_in_words
from langchain_hf_endpoint.errors import (
    AuthenticationError,
    HFEndpointError,
    SettingsError,
    TransportError,
)

COMMANDS = ["check", "chunk", "embed", "put", "list", "get", "update", "delete", "serve", "local"]
"""In the order in which a newcomer needs them."""


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_a_screen_and_has_an_example(command):
    shown = run(*filter(None, [command]), "--help")
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert any(line.startswith(f"  hf-endpoint {command}".rstrip()) for line in lines)
    if command:
        assert "Exit status: 0" in shown.stdout
    else:
        listed = shown.stdout.partition("Commands:")[2]
        assert [line.split()[0] for line in listed.splitlines() if line] == COMMANDS
        assert "..." not in listed


def test_help_is_in_sentences():
    for command in typer.main.get_command(app).commands.values():
        for option in command.params:
            words = getattr(option, "help", None)
            if words and not option.hidden:
                assert words[0].isupper(), words
                assert words.endswith("."), words
                assert len(words.split()) > 1, words


def test_no_command_takes_a_key_itself():
    for command in typer.main.get_command(app).commands.values():
        for option in command.params:
            if "key" in option.name and not option.hidden:
                of_files = (
                    "key",
                    "api_key_file",
                    "manage_key_file",
                    "ask_key",
                    "environment_keys",
                    "allow_key_rotation",
                )
                assert option.name in of_files


def test_without_a_command_there_is_help():
    shown = run()
    assert "Commands:" in shown.output


def test_the_help_of_a_size_in_words_says_what_holds_beside_tokens():
    limit = "--max-tokens N Limit chunks to N tokens, not 250 words"
    for command in ("check", "embed", "put"):
        assert f"{limit}; or auto." in " ".join(run(command, "--help").output.split())
    # It asks no server, and so takes no "auto".
    assert f"{limit}." in " ".join(run("chunk", "--help").output.split())


def test_the_help_of_a_dry_run_names_the_probe():
    assert "--probe" in run("embed", "--help").output


def test_the_version():
    assert run("--version").stdout == run("-V").stdout == f"hf-endpoint {__version__}\n"


def test_it_can_be_run_as_a_module():
    command = [sys.executable, "-m", "langchain_hf_endpoint", "-V"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"hf-endpoint {__version__}\n"


def complete(words: str, place: int) -> list[str]:
    """What bash would offer, from the script that `--show-completion` prints."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from langchain_hf_endpoint.cli.app import app; app(prog_name='hf-endpoint')",
        ],
        env={
            **os.environ,
            "_HF_ENDPOINT_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(place),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.split()


def test_the_shell_completes_commands_and_options():
    assert complete("hf-endpoint ch", 1) == ["check", "chunk"]
    assert "--text-column" in complete("hf-endpoint embed --t", 2)


def test_the_shell_completes_names_of_the_registry(tei_double):
    for name in ("my-first", "my-second", "other"):
        run("put", name, "--url", tei_double.url, "--skip-validation")
    assert complete("hf-endpoint check my", 2) == ["my-first", "my-second"]
    assert complete("hf-endpoint embed a.txt -e o", 4) == ["other"]


ENDS = [
    (None, 0),
    (SettingsError(("url", "is wrong")), 1),
    (HFEndpointError("a package is not here"), 1),
    (AuthenticationError("no", host="a", attempts=1), 4),
    (TransportError("no reply", host="a", attempts=3), 4),
    (KeyboardInterrupt(), 130),
]


@pytest.mark.parametrize(("error", "status"), ENDS, ids=[type(end[0]).__name__ for end in ENDS])
def test_the_status_says_whose_fault_it_is(error, status, capsys):
    try:
        with errors_in_words():
            if error is not None:
                raise error
        ended = 0
    except typer.Exit as end:
        ended = end.exit_code
    assert ended == status
    assert bool(capsys.readouterr().err) == (status > 0)


def test_a_wrong_command_line_is_2():
    assert run("embed").exit_code == 2
    assert run("no-such-command").exit_code == 2


def test_a_reader_that_leaves_ends_it_quietly(tmp_path):
    file = tmp_path / "long.txt"
    file.write_text("A sentence of a long text. " * 4_000)
    command = f"{sys.executable} -m langchain_hf_endpoint.cli chunk {file} --json | head -c 100"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert len(done.stdout) == 100
    assert done.stderr == ""


WRONG_VALUES = [
    ("chunk a.txt --size x", "must be an integer"),
    ("chunk a.txt --strategy foo", "is not one of"),
    ("serve --port 99999", "65535"),
    ("serve --max-queue 0", "1"),
    ("check http://127.0.0.1:9 --timeout x", "must be a number"),
    ("chunk a.txt --language klingon", "'german'"),
    ("chunk ''", "does not exist"),
]


@pytest.mark.parametrize(("command", "words"), WRONG_VALUES)
def test_a_wrong_value_is_told_without_pydantics_words(tmp_path, monkeypatch, command, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("a")
    shown = run(*shlex.split(command))
    assert shown.exit_code in (1, 2)
    assert words in shown.stderr
    for theirs in ("Value error", "Input should", "unable to parse", "Traceback"):
        assert theirs not in shown.output


@pytest.mark.parametrize(
    "section",
    ['"service_settings": 7', '"chunking_settings": []', '"task_settings": {"truncate": 3}'],
)
def test_json_of_a_wrong_kind_is_told_without_pydantics_words(tmp_path, section):
    config = tmp_path / "config.json"
    url = (
        ""
        if "service_settings" in section
        else ', "service_settings": {"url": "http://127.0.0.1:9", "rate_limit": 7}'
    )
    config.write_text(f'{{"service": "hugging_face", {section}{url}}}')
    shown = run("put", "mine", config)
    assert shown.exit_code == 1
    assert "must be" in shown.stderr
    for theirs in ("Value error", "Input should", "instance of"):
        assert theirs not in shown.output
