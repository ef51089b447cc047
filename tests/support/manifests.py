"""Texts of mlenv.toml for tests."""

PINNED = "registry.example.com/python:3.12-slim@sha256:" + "ab" * 32

SMALL = """\
[environment]
name = "sentiment"
version = "1.4.0"
"""

FULL = f"""\
#:schema ./schema/mlenv.schema.json
[environment]
name = "sentiment"
version = "1.4.0"
description = "Tells how a sentence feels."
platforms = ["linux/amd64", "linux/arm64"]
epoch = 2026-01-01T00:00:00+02:00

[base]
image = "{PINNED}"

[python]
version = "3.12"
packages = ["torch==2.9.1", "transformers[torch] == 4.57.1 ; python_version < '3.14'"]
requirements = ["requirements.txt"]
exclude-newer = 2026-11-01T00:00:00Z
find-links = ["wheels"]

[[python.indexes]]
name = "pytorch"
url = "https://packages.example.com/whl/cu128"
packages = ["torch", "Torch_Vision"]

[system]
packages = ["ffmpeg"]

[cuda]
version = "12.8"
cudnn = "9.10"
architectures = ["sm_80", "sm_90"]

[[models]]
name = "encoder"
uri = "hf://org/model@0123456789abcdef0123456789abcdef01234567"
include = ["*.safetensors", "*.json"]
path = "/models/encoder"

[[files]]
source = "./app/"
target = "/app"
exclude = ["tests/", "*.md"]
owner = "10001:10001"

[container]
user = "10001:10001"
workdir = "/app"
command = ["python", "serve.py"]
env = {{ OMP_NUM_THREADS = "4" }}
ports = ["8000", "9000/udp"]
volumes = ["/data"]
secrets = ["HF_TOKEN"]
read-only = true
stop-signal = "SIGINT"
labels = {{ "com.example.team" = "search" }}

[container.healthcheck]
command = ["python", "-c", "pass"]
interval = "1m30s"
timeout = "500ms"
retries = 3

[resources]
cpus = 4
memory = "16GiB"
shm-size = "2GiB"
pids = 512
gpus = {{ count = 1, memory = "40GiB" }}
ulimits = {{ memlock = -1, stack = 67108864 }}
"""
