"""Secrets out of text that is shown."""

import re

_USERINFO = re.compile(r"(?<=://)[^/\s\"'`<>]+@")


def redact(text: str) -> str:
    """The text without the user names and passwords of the URLs in it."""
    return _USERINFO.sub("", text)
