"""What a thing in the world shows: layouts, archives, engines."""
