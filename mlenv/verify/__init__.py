"""Lock and a thing in the world -> Report."""
