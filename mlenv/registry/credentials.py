"""Credentials for registries, from where Docker keeps them (config.json of the Docker command line).

`auths` holds them as they are, `credHelpers` and `credsStore` name a program `docker-credential-NAME` that does
(docker-credential-helpers' protocol: the registry on stdin, JSON on stdout).
"""

import base64
import binascii
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlenv.errors import Problem, UsageError
from mlenv.oci.reference import DOCKER_HUB

_HUB_KEY = "https://index.docker.io/v1/"
_HELPER_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Credentials:
    """What proves to a registry who asks. An identity token is exchanged for access tokens; a password is sent."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an Authorization header of the Basic scheme (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def find_credentials(registry: str, environ: Mapping[str, str] = os.environ) -> Credentials | None:
    """What Docker's configuration holds for a registry (host or host:port), or None.

    Raises UsageError where the configuration can't be read or its helper fails.
    """
    path = Path(environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _broken(path, str(error)) from None
    if not isinstance(config, dict):
        raise _broken(path, "not a JSON object")
    keys = (_HUB_KEY, "index.docker.io", "docker.io") if registry == DOCKER_HUB else (registry, f"https://{registry}")
    helpers, auths = config.get("credHelpers") or {}, config.get("auths") or {}
    for key in keys:
        if isinstance(helpers, dict) and isinstance(name := helpers.get(key), str):
            return _ask(name, key)
    for key in keys:
        if isinstance(auths, dict) and (found := _stored(auths.get(key), path)) is not None:
            return found
    if isinstance(name := config.get("credsStore"), str):
        return _ask(name, keys[0])
    return None


def _stored(entry: Any, path: Path) -> Credentials | None:
    if not isinstance(entry, dict):
        return None
    if token := entry.get("identitytoken"):
        return Credentials(identity_token=str(token))
    if entry.get("auth"):
        try:
            user, colon, password = base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise _broken(path, "an `auth` is not base64") from None
        return Credentials(user, password.rstrip("\0")) if colon else None
    if entry.get("username") and entry.get("password"):
        return Credentials(str(entry["username"]), str(entry["password"]))
    return None


def _ask(name: str, registry: str) -> Credentials | None:
    program = f"docker-credential-{name}"
    where = f"{program} get"
    hint = "run `docker login` again, or remove the helper from Docker's config.json"
    if "/" in name:
        raise UsageError("a credential helper's name holds a slash", where=where, hint=hint)
    try:
        answer = subprocess.run(
            [program, "get"], input=registry.encode(), capture_output=True, check=False, timeout=_HELPER_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"the credential helper can't be run: {error}", where=where, hint=hint) from None
    if answer.returncode:
        if b"credentials not found" in answer.stdout + answer.stderr:
            return None
        raise UsageError(f"the credential helper ended with status {answer.returncode}", where=where, hint=hint)
    try:
        found = json.loads(answer.stdout)
        user, secret = str(found["Username"]), str(found["Secret"])
    except (ValueError, KeyError, TypeError):
        raise UsageError("the credential helper's answer is not its protocol's JSON", where=where, hint=hint) from None
    return Credentials(identity_token=secret) if user == "<token>" else Credentials(user, secret)


def _broken(path: Path, reason: str) -> UsageError:
    return UsageError(
        problems=[Problem(f"can't be read: {reason}", str(path), "repair it, or run `docker login` again")]
    )
