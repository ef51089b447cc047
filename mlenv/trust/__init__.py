"""Who approved a lock: keys, statements, envelopes, bundles, policies. Everything here takes bytes and does no I/O."""
