"""Locked content -> layer bytes, by the layer recipe."""
