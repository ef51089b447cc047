"""Debian archives: signed indexes, the closure of packages, and the packages themselves."""
