"""Debian packages -> the entries of a root file system."""
