"""Where bytes come from: indexes, archives, registries, the cache, the project."""
