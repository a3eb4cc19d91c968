"""Where Punkt's trained tables come from, and what happens where there are none."""

from __future__ import annotations

import os
import sys
import zipfile

import nltk.data
import pytest

from langchain_hf_endpoint.chunking import chunk
from langchain_hf_endpoint.chunking.punkt import _finders
from langchain_hf_endpoint.chunking.punkt_tables import load_tables
from langchain_hf_endpoint.errors import SettingsError

DOWNLOAD = "python -m nltk.downloader punkt_tab"


@pytest.fixture
def packaged():
    """English as the package carries it."""
    return load_tables("english", [])


@pytest.fixture
def unpackaged(packaged, monkeypatch):
    """English as if the package did not carry it and nobody had asked for it yet."""
    monkeypatch.setitem(sys.modules, "punkt.data.english", None)
    _finders.cache_clear()
    yield
    _finders.cache_clear()


@pytest.fixture
def files(packaged):
    """The same tables as NLTK's downloader would leave them."""
    return {
        "abbrev_types.txt": "\n".join(packaged.abbreviations),
        "collocations.tab": "\n".join(map("\t".join, packaged.collocations)),
        "sent_starters.txt": "\n".join(packaged.sentence_starters),
        "ortho_context.tab": "\n".join(
            f"{word}\t{flags}" for word, flags in packaged.contexts.items()
        ),
    }


def write_folder(root, files):
    folder = root / "tokenizers" / "punkt_tab" / "english"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(content, "utf-8")
    return folder


def test_the_package_is_enough(packaged):
    assert "dr" in packaged.abbreviations
    assert "however" in packaged.sentence_starters


@pytest.mark.usefixtures("unpackaged")
def test_a_folder_that_the_user_downloaded(packaged, files, tmp_path):
    write_folder(tmp_path, files)
    assert load_tables("english", ["/nowhere", str(tmp_path)]) == packaged


@pytest.mark.usefixtures("unpackaged")
@pytest.mark.parametrize("end", ["\n", ""])
def test_an_empty_entry_counts_and_a_final_line_feed_does_not(files, tmp_path, end):
    files |= {"abbrev_types.txt": f"dr\n\nmr{end}", "collocations.tab": ""}
    write_folder(tmp_path, files)
    tables = load_tables("english", [str(tmp_path)])
    assert tables.abbreviations == {"dr", "", "mr"}
    assert tables.collocations == set()


@pytest.mark.usefixtures("unpackaged")
def test_hard_links_are_harmless(packaged, files, tmp_path):
    folder = write_folder(tmp_path, files)
    for name in files:
        os.link(folder / name, tmp_path / name)
    assert load_tables("english", [str(tmp_path)]) == packaged


@pytest.mark.usefixtures("unpackaged")
def test_a_zip_that_the_user_downloaded(packaged, files, tmp_path):
    (tmp_path / "tokenizers").mkdir()
    with zipfile.ZipFile(tmp_path / "tokenizers" / "punkt_tab.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(f"punkt_tab/english/{name}", content)
    assert load_tables("english", [str(tmp_path)]) == packaged


@pytest.mark.usefixtures("unpackaged")
@pytest.mark.parametrize(
    "damage",
    [
        {"ortho_context.tab": "word\tmany"},
        {"ortho_context.tab": "word"},
        {"abbrev_types.txt": "\ud800"},
    ],
)
def test_a_damaged_copy_is_passed_over(packaged, files, tmp_path, damage):
    good, bad = tmp_path / "good", tmp_path / "bad"
    write_folder(good, files)
    folder = write_folder(bad, files)
    for name, content in damage.items():
        (folder / name).write_bytes(content.encode("utf-8", "surrogatepass"))
    assert load_tables("english", [str(bad), str(good)]) == packaged


@pytest.mark.usefixtures("unpackaged")
def test_an_incomplete_copy_and_a_broken_zip_are_passed_over(files, tmp_path):
    folder = write_folder(tmp_path, files)
    (folder / "ortho_context.tab").unlink()
    (tmp_path / "tokenizers" / "punkt_tab.zip").write_bytes(b"no zip")
    with pytest.raises(SettingsError):
        load_tables("english", [str(tmp_path)])


@pytest.mark.usefixtures("unpackaged")
def test_the_folders_are_those_that_nltk_looks_into(files, monkeypatch, tmp_path):
    write_folder(tmp_path, files)
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    assert len(chunk("Mr. Word. " * 200)) == 2


@pytest.mark.usefixtures("unpackaged")
def test_without_any_table_the_error_says_what_to_run(monkeypatch, tmp_path):
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    with pytest.raises(SettingsError) as error:
        chunk("Word. " * 999)
    ((field, text),) = error.value.problems
    assert field == "chunking_settings.language"
    assert f"`{DOWNLOAD}`" in text
    assert "'english'" in text


@pytest.mark.usefixtures("unpackaged")
def test_a_text_that_fits_into_a_chunk_needs_no_table(monkeypatch):
    monkeypatch.setattr(nltk.data, "path", [])
    assert len(chunk("Word. " * 250)) == 1
