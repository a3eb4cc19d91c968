"""The section that says which certificates an endpoint's connections use.

It knows names of files. It must not read them: settings may be made, stored and sent elsewhere on a
machine that has none of them.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import Field

from langchain_hf_endpoint._validation import Allowed, Problem, Section

_File: TypeAlias = Annotated[
    str,
    Field(strict=True, min_length=1, max_length=4096, pattern=r"^[^\x00]+$"),
    Allowed("the name of a PEM file, as a string"),
]


class TlsSettings(Section):
    """Certificates for connections to an endpoint behind a private authority or a mutual check.

    The files are read, and found wrong, where a first request is about to be sent. Nothing here or
    elsewhere turns the check of the server's certificate off.

    Attributes:
        ca_file: The authorities that are trusted, and no others. Default: those of ``certifi``, or
            of ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``.
        certificate_file: Our own certificate with its chain, for a server that asks for one.
        key_file: Its private key, not encrypted. Default: it stands in `certificate_file`.
    """

    ca_file: _File | None = None
    certificate_file: _File | None = None
    key_file: _File | None = None

    @classmethod
    def _prepared(cls, fields: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
        alone = "key_file" in fields and "certificate_file" not in fields
        return fields, [("key_file", "is of no use without certificate_file")] if alone else []
