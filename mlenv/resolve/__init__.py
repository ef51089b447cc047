"""EnvironmentManifest -> Lock."""
