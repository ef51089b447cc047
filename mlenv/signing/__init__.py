"""Lock -> signed bundle."""
