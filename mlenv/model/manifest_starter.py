"""The mlenv.toml that `mlenv init` writes."""

import re

SCHEMA_FILE = "mlenv.schema.json"

_STARTER = """\
[environment]
name = "{name}"
version = "0.1.0"
# platforms = ["linux/amd64", "linux/arm64"]

# The base is Debian trixie with its Python. Another suite or more packages:
# [base]
# debian = {{ suite = "bookworm", packages = ["python3", "ca-certificates", "libgomp1"] }}
# or an image by digest, which `mlenv pin` looks up:
# [base]
# image = "registry.example.com/python:3.12-slim"

[python]
packages = [
  # "scikit-learn==1.7.2",
]
# requirements = ["requirements.txt"]
# exclude-newer = 2026-01-01T00:00:00Z   # do not see what was uploaded later

# [[files]]
# source = "app"
# target = "/app"

[container]
command = ["python", "-c", "print('It runs.')"]
# workdir = "/app"
# env = {{ OMP_NUM_THREADS = "4" }}
# ports = ["8000/tcp"]
# secrets = ["HF_TOKEN"]   # names only: the container gets the values when it starts

# [resources]
# cpus = 4
# memory = "16GiB"
# gpus = {{ count = 1 }}
"""


def starter_text(name: str, *, schema: bool) -> str:
    """A manifest that builds as it is. With `schema`, editors find it in SCHEMA_FILE beside it."""
    head = f"#:schema ./{SCHEMA_FILE}\n" if schema else ""
    return head + _STARTER.format(name=starter_name(name))


def starter_name(folder: str) -> str:
    """A name for the environment from that of its folder."""
    return re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-") or "environment"
