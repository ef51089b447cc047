"""The image config and manifest that a lock leads to."""

import json
from typing import Any

from support.locks import FACTS, contents, digest, wheel

from mlenv.layers.image import image_bytes, index_bytes, inputs_digest
from mlenv.model.digest import Digest
from mlenv.model.lock import BaseLayer, LockedBase
from mlenv.model.manifest import Container, Environment
from mlenv.model.platform import Platform

ENVIRONMENT = Environment(name="small", version="1.0", description="A small one.")


def config(container: Container | None = None, of_base: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    made = image_bytes(ENVIRONMENT, container or Container(), contents(**changes), of_base)
    document: dict[str, Any] = json.loads(made.config)
    return document


def image_base(*layers: str) -> LockedBase:
    gzip = "application/vnd.oci.image.layer.v1.tar+gzip"
    made = tuple(
        BaseLayer.model_validate({"media-type": gzip, "digest": digest(x), "size": 5, "diff-id": digest(x + "t")})
        for x in layers
    )
    reference = f"r.example/python:3.13@{digest('m')}"
    return LockedBase(kind="image", reference=reference, manifest=digest("m"), facts=FACTS, layers=made)


def test_nothing_of_the_machine_is_in_it() -> None:
    made = config()
    assert set(made) == {"architecture", "config", "created", "history", "os", "rootfs"}
    assert made["created"] == "1980-01-01T00:00:00Z"
    assert made["config"]["User"] == "10001:10001"


def test_the_path_begins_with_the_virtual_environment() -> None:
    assert config()["config"]["Env"] == [
        "PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    ]
    base = {"config": {"Env": ["PATH=/usr/bin", "LANG=C.UTF-8", "A=1"]}}
    assert config(Container(env={"A": "2"}), base)["config"]["Env"] == [
        "A=2",
        "LANG=C.UTF-8",
        "PATH=/opt/venv/bin:/usr/bin",
    ]


def test_who_names_a_command_names_all_of_it() -> None:
    base = {"config": {"Entrypoint": ["/nvidia-entrypoint.sh"], "Cmd": ["bash"]}}
    assert config(None, base)["config"]["Entrypoint"] == ["/nvidia-entrypoint.sh"]
    named = config(Container(command=("python", "x.py")), base)["config"]
    assert (named.get("Entrypoint"), named["Cmd"]) == (None, ["python", "x.py"])
    cleared = config(Container(entrypoint=()), base)["config"]
    assert "Entrypoint" not in cleared
    assert config()["config"]["Cmd"] == ["/opt/venv/bin/python"]


def test_a_health_check_is_in_nanoseconds() -> None:
    container = Container.model_validate(
        {"healthcheck": {"command": ["x"], "interval": "30s", "start-period": "500ms"}}
    )
    assert config(container)["config"]["Healthcheck"] == {
        "Interval": 30_000_000_000,
        "StartPeriod": 500_000_000,
        "Test": ["CMD", "x"],
    }


def test_there_is_a_line_of_history_for_every_layer() -> None:
    said = [one["created_by"] for one in config()["history"]]
    assert said == [
        "mlenv: 1 Debian packages of trixie",
        "mlenv: virtual environment /opt/venv",
        "mlenv: wheels alpha 1.0, beta 1.0",
        "mlenv: files /app",
    ]


def test_a_base_brings_its_layers_and_history() -> None:
    base = {"history": [{"created_by": "ADD"}, {"created_by": "ENV", "empty_layer": True}, {"created_by": "RUN"}]}
    document = config(None, base, base=image_base("a", "b"), debs=(), layers=contents().layers[1:])
    assert document["rootfs"]["diff_ids"][:2] == [str(digest("at")), str(digest("bt"))]
    assert [one["created_by"] for one in document["history"][:3]] == ["ADD", "ENV", "RUN"]
    made = image_bytes(
        ENVIRONMENT, Container(), contents(base=image_base("a", "b"), debs=(), layers=contents().layers[1:]), base
    )
    manifest = json.loads(made.manifest)
    assert manifest["annotations"]["org.opencontainers.image.base.digest"] == str(digest("m"))
    assert manifest["annotations"]["org.opencontainers.image.base.name"] == "r.example/python:3.13"
    assert len(manifest["layers"]) == len(document["rootfs"]["diff_ids"]) == 5
    assert made.size == len(made.manifest) + len(made.config) + sum(one["size"] for one in manifest["layers"])


def test_a_history_that_does_not_account_for_the_layers_is_made_anew() -> None:
    base = {"history": [{"created_by": "only one"}]}
    document = config(None, base, base=image_base("a", "b"), debs=(), layers=contents().layers[1:])
    assert len(document["history"]) == 5


def test_the_label_of_the_inputs_follows_what_goes_in() -> None:
    same, other = contents(), contents(wheels=(wheel("alpha"), wheel("beta")))
    assert inputs_digest(same) == inputs_digest(contents())
    assert inputs_digest(same) != inputs_digest(other)
    assert config()["config"]["Labels"] == {
        "dev.mlenv.inputs": str(inputs_digest(same)),
        "dev.mlenv.recipe": "1",
        "org.opencontainers.image.description": "A small one.",
        "org.opencontainers.image.title": "small",
        "org.opencontainers.image.version": "1.0",
    }


def test_an_index_names_each_platform() -> None:
    document = json.loads(
        index_bytes([(Platform.LINUX_AMD64, Digest.of(b"a"), 3), (Platform.LINUX_ARM64, Digest.of(b"b"), 4)])
    )
    assert [one["platform"]["architecture"] for one in document["manifests"]] == ["amd64", "arm64"]
