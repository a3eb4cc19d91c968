"""Looks for replies and texts that break a law, with atheris (coverage-guided mutation).

::

    pip install atheris
    python tests/soak/fuzz/fuzz.py reply --seconds 600
    python tests/soak/fuzz/fuzz.py wait
    python tests/soak/fuzz/fuzz.py text

It begins with the committed cases and with every recorded reply that the tests have. What it learns
stays in ``.fuzz/<law>/``; an input that breaks a law is written there as ``crash-…`` and the run
ends with its traceback. Mend the package, then move the file to
``tests/soak/fuzz/cases/<law>/``, where
``test_cases.py`` looks at it for ever.
"""

from __future__ import annotations

import argparse
import email._parseaddr
import email.utils
import sys
from pathlib import Path

import atheris

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "support")]

with atheris.instrument_imports(include=["langchain_hf_endpoint", "nltk.tokenize.punkt"]):
    from laws import LAWS
    from seeds import WORDS, seeds
for function in (email._parseaddr._parsedate_tz, email.utils.parsedate_to_datetime):
    atheris.instrument_func(function)  # its module was there before atheris


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("law", choices=LAWS)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--longest", type=int, default=2048, help="bytes of an input at most")
    arguments = parser.parse_args()
    law = arguments.law
    folder = HERE.parents[2] / ".fuzz" / law
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for name, data in seeds(law).items():
        (corpus / name).write_bytes(data)
    words = folder / "dictionary.txt"
    entries = ("".join(f"\\x{octet:02x}" for octet in word.encode()) for word in WORDS[law])
    words.write_text("".join(f'"{entry}"\n' for entry in entries))
    options = {
        "max_total_time": arguments.seconds,
        "max_len": arguments.longest,
        "timeout": 10,  # seconds for one input
        "dict": words,
        "artifact_prefix": f"{folder}/",
        "print_final_stats": 1,
    }
    cases = HERE / "cases" / law
    flags = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], *flags, str(corpus), str(cases)], LAWS[law])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
