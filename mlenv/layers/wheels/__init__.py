"""Wheels -> the entries of an installed virtual environment."""
