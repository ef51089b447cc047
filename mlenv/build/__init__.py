"""Lock -> image."""
