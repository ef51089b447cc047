"""The user's password for an index, for the files that lie on the same host.

uv reads passwords from index URLs and environment variables, and leaves them out of its answers. They are put back here
for the index's own origin (scheme, host and port) and for no other: an index may say that its files lie elsewhere.
"""

from collections.abc import Iterator, Mapping
from urllib.parse import quote, urlsplit

from mlenv.sources.http import origin
from mlenv.sources.packages.uv_project import PackageRequest


def with_credentials(url: str, request: PackageRequest, environ: Mapping[str, str]) -> str:
    """The URL, with user name and password where one of the indexes has them for its origin."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or "@" in parts.netloc:
        return url
    for index, userinfo in _known(request, environ):
        if userinfo and origin(index) == origin(url):
            return parts._replace(netloc=f"{userinfo}@{parts.netloc}").geturl()
    return url


def _known(request: PackageRequest, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Index URLs with their `user:password`, those of the manifest first."""
    places = [(index.name, index.url) for index in request.indexes]
    for variable in ("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        for word in environ.get(variable, "").split():
            name, separator, url = word.partition("=")
            named = separator and "/" not in name
            places.append((name, url) if named else ("", word))
    for name, url in places:
        # uv's rule for the variable's name: upper case, with an underscore for everything else.
        variable = "UV_INDEX_" + "".join(letter if letter.isalnum() else "_" for letter in name.upper())
        user, password = environ.get(f"{variable}_USERNAME", ""), environ.get(f"{variable}_PASSWORD", "")
        given = f"{quote(user, safe='')}:{quote(password, safe='')}" if name and (user or password) else ""
        yield url, given or urlsplit(url).netloc.rpartition("@")[0]
