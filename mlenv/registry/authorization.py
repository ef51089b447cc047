"""Getting past a 401 (distribution specification; "Token Authentication" of the distribution project)."""

import re
from dataclasses import dataclass
from typing import Any

import requests

from mlenv.errors import UnavailableError
from mlenv.model.strict_json import parse_json
from mlenv.registry.credentials import Credentials
from mlenv.registry.origin import check_destination

_PARAMETER = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_ANSWER = 1 << 20


@dataclass(frozen=True, slots=True)
class Challenge:
    """A WWW-Authenticate header: its scheme in lower case, its parameters by lower-case name."""

    scheme: str
    parameters: dict[str, str]

    @classmethod
    def parse(cls, header: str) -> "Challenge":
        """Read the first challenge of a header; nonsense becomes an empty scheme."""
        scheme, _, rest = header.strip()[:8192].partition(" ")
        found = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
        return cls(scheme.lower(), found)


def authorization(
    session: requests.Session,
    challenge: Challenge,
    credentials: Credentials | None,
    *,
    scope: str,
    registry_url: str,
    timeout: tuple[float, float],
) -> str | None:
    """The Authorization header that answers a challenge, or None where there is nothing to answer it with.

    A token is asked for at the challenge's realm, which `check_destination` must allow. `scope` is what we need, not
    what the registry asks us to ask for.
    """
    if challenge.scheme == "basic":
        return credentials.basic if credentials is not None and credentials.user else None
    if challenge.scheme != "bearer" or not challenge.parameters.get("realm"):
        return None
    realm = challenge.parameters["realm"]
    check_destination(realm, registry_url)
    asked = {"service": challenge.parameters.get("service", ""), "scope": scope}
    arguments: dict[str, Any] = {"allow_redirects": False, "timeout": timeout, "stream": True}
    if credentials is not None and credentials.identity_token:
        form = asked | {
            "grant_type": "refresh_token",
            "refresh_token": credentials.identity_token,
            "client_id": "mlenv",
        }
        answer = session.post(realm, data=form, **arguments)
    else:
        headers = {"Authorization": credentials.basic} if credentials is not None else {}
        answer = session.get(
            realm, params={key: value for key, value in asked.items() if value}, headers=headers, **arguments
        )
    with answer:
        return f"Bearer {_token(answer, realm)}"


def _token(answer: requests.Response, realm: str) -> str:
    if answer.status_code != 200:
        raise UnavailableError(
            f"the registry's token service answered {answer.status_code}",
            where=realm,
            hint="check the credentials with `docker login`"
            if answer.status_code in (400, 401, 403)
            else "try again later",
        )
    try:
        found = parse_json(answer.raw.read(_ANSWER + 1, decode_content=True), _ANSWER)
        token = found.get("token") or found.get("access_token")
    except (ValueError, AttributeError):
        token = None
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
        raise UnavailableError("the registry's token service gave no token", where=realm)
    return token
