"""Which endpoint a command is about, a name in the registry or a URL, and where its key is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from pydantic import SecretStr

from langchain_hf_endpoint._urls import url_meant, url_problem
from langchain_hf_endpoint.cli.options import REGISTRY_VARIABLE
from langchain_hf_endpoint.errors import HFEndpointError, SettingsError, UnknownEndpointError

if TYPE_CHECKING:
    from langchain_hf_endpoint import InferenceEndpoint, InferenceEndpoints


def registry_path(given: Path | None) -> Path:
    """Where the registry is: as given, else the user's own."""
    return given or Path(typer.get_app_dir("hf-endpoint")) / "endpoints.db"


def open_registry(given: Path | None, *, to_write: bool = False) -> InferenceEndpoints:
    """Open the registry; one that is only to be read is not made where there is none."""
    from langchain_hf_endpoint import InferenceEndpoints  # noqa: PLC0415 - other commands do without

    path = registry_path(given)
    if str(path) == ":memory:":
        return InferenceEndpoints()
    if not os.path.lexists(path):
        if not to_write and given is not None:
            raise SettingsError(
                ("registry", f"{path} does not exist"),
                advice=f"Check --database or ${REGISTRY_VARIABLE}; the first endpoint that is kept "
                "makes it, see hf-endpoint put --help.",
            )
        if not to_write:
            return InferenceEndpoints()
        if given is None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return InferenceEndpoints(path)


def names_beginning(incomplete: str) -> list[str]:
    """Names of the registry, for the shell to complete.

    It cannot know of ``--database``: completed are those of the registry that needs no naming.
    """
    given = os.environ.get(REGISTRY_VARIABLE)
    try:
        with open_registry(Path(given) if given else None) as endpoints:
            return [name for name in endpoints if name.startswith(incomplete)]
    except HFEndpointError:  # a shell's prompt is no place for an error
        return []


def endpoint_of(target: str, database: Path | None, key: str | None) -> InferenceEndpoint:
    """The endpoint of a URL, or of a name in the registry, over the fastest transport."""
    from langchain_hf_endpoint.endpoint import InferenceEndpoint, preferring_fast  # noqa: PLC0415

    if "://" in target:
        return preferring_fast(InferenceEndpoint(target, **key_settings(key)))
    url = url_meant(target)
    if url and (":" in target or "/" in target):
        problem = url_problem(url) or f"is no name: did you mean {url}?"
        raise SettingsError(("endpoint", f"{target} {problem}"))
    if key is not None:
        raise SettingsError(("--key", "goes with a URL; the registry holds the key of its own"))
    try:
        with open_registry(database) as endpoints:
            return preferring_fast(endpoints[target])
    except (UnknownEndpointError, SettingsError):
        if url is None:
            raise
        problem = f"there is none of the name {target}; did you mean {url}?"
        raise SettingsError(("endpoint", problem)) from None


def registered_as(target: str, database: Path | None) -> tuple[str | None, int | None]:
    """The model and the dimensions that the registry holds of a name; None for those of a URL."""
    if "://" in target:
        return None, None
    with open_registry(database) as endpoints:
        service = endpoints.get(inference_id=target)["service_settings"]
    return service.get("model_id"), service.get("dimensions")


# Keys: from the environment, a file or a prompt; never from an argument, which every user of the
# machine can see.


def find_key(variable: str, file: Path | None = None, *, ask: bool = False) -> SecretStr | None:
    """A key: from the prompt if asked for, else the file, the variable; else none."""
    if ask:
        return _asked_for()
    if file is not None:
        return _in_file(file)
    found = os.environ.get(variable, "").strip()
    return SecretStr(found) if found else None


def key_settings(source: str | None) -> dict[str, Any]:
    """The service settings of a key that is to be found at ``env:NAME``, ``file:PATH``, ``ask``.

    A variable is read where a request is sent, so that nothing holds its value before.

    Raises:
        typer.BadParameter: There is none, or it is no such source; what was given is not repeated,
            since it may be a key.
    """
    if source is None:
        return {}
    kind, _, where = source.partition(":")
    if source == "ask":
        return {"api_key": _asked_for()}
    if kind == "file" and where:
        return {"api_key": _in_file(Path(where))}
    if kind == "env" and where:
        return {"api_key_env": where}
    raise typer.BadParameter(
        "--key says where the key is: env:NAME, file:PATH or ask. A key itself does not belong on "
        "the command line, where every user of this machine can read it; if you gave one, replace "
        "it."
    )


def _asked_for() -> SecretStr:
    return SecretStr(typer.prompt("Key", hide_input=True, err=True).strip())


def _in_file(file: Path) -> SecretStr:
    try:
        key = SecretStr(file.read_text(encoding="utf-8").strip())
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} holds no key: it is not UTF-8") from None
    if not key.get_secret_value():
        raise typer.BadParameter(f"{file} is empty")
    return key
