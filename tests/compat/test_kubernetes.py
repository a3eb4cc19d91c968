"""The manifests: valid by Kubernetes' own schemas, right in themselves, and what they run runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from langchain_hf_endpoint import InferenceEndpoints
from langchain_hf_endpoint.settings import ServiceSettings

FOLDER = Path(__file__).parents[2] / "examples" / "kubernetes"
MANIFESTS = [
    pytest.param(manifest, id=f"{path.stem}-{manifest['kind']}-{manifest['metadata']['name']}")
    for path in sorted(FOLDER.glob("*.yaml"))
    for manifest in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]


def manifest(kind, name):
    return next(
        one.values[0]
        for one in MANIFESTS
        if (one.values[0]["kind"], one.values[0]["metadata"]["name"]) == (kind, name)
    )


@pytest.mark.parametrize("version", ["1.30", "1.34"])
@pytest.mark.parametrize("manifest", MANIFESTS)
def test_a_manifest_is_what_kubernetes_takes(manifest, version):
    kubernetes_validate.validate(manifest, version, strict=True)


def test_a_manifest_with_a_wrong_field_would_be_found():
    wrong = json.loads(json.dumps(manifest("Deployment", "embeddings-gateway")))
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.34", strict=True)


def test_the_gateway_is_told_of_as_many_replicas_as_there_are():
    spec = manifest("Deployment", "embeddings-gateway")["spec"]
    arguments = spec["template"]["spec"]["containers"][0]["args"]
    assert int(arguments[arguments.index("--replicas") + 1]) == spec["replicas"]


def test_services_and_policies_name_labels_and_ports_that_are_there():
    for name in ("embeddings-gateway", "embeddings-redis"):
        template = manifest("Deployment", name)["spec"]["template"]
        service = manifest("Service", name)["spec"]
        assert service["selector"].items() <= template["metadata"]["labels"].items()
        ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["ports"]} <= ports


def test_the_command_line_knows_the_arguments_of_the_container():
    from typer.testing import CliRunner  # noqa: PLC0415

    from langchain_hf_endpoint.cli.app import app  # noqa: PLC0415

    pod = manifest("Deployment", "embeddings-gateway")["spec"]["template"]["spec"]
    done = CliRunner().invoke(app, [*pod["containers"][0]["args"], "--help"])
    assert done.exit_code == 0
    known = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output
    for argument in pod["containers"][0]["args"]:
        assert not argument.startswith("--") or argument in known


def test_the_endpoints_of_the_example_are_settings_that_exist():
    for text in manifest("ConfigMap", "embeddings-endpoints")["data"].values():
        assert ServiceSettings(**json.loads(text)["service_settings"]).api_key_env == "HF_TOKEN"


def test_the_loader_fills_a_registry_once(tmp_path, tei_double):
    folder = tmp_path / "endpoints"
    folder.mkdir()
    config = {"service": "hugging_face", "service_settings": {"url": tei_double.url}}
    (folder / "of-the-file.json").write_text(json.dumps(config))
    registry = tmp_path / "endpoints.db"
    loader = manifest("ConfigMap", "embeddings-registry-loader")["data"]["load.py"]
    variables = {**os.environ, "ENDPOINTS": str(folder), "REGISTRY": str(registry)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", loader], check=True, env=variables, timeout=60)
    with InferenceEndpoints(registry) as endpoints:
        assert endpoints.keys() == ["of-the-file"]
        assert len(endpoints["of-the-file"].describe().model_id) > 0
