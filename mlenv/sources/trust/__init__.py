"""Keys, bundles, policies and serials, where they lie on this machine."""
