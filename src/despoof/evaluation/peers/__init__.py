"""Public models that ours is compared with: a TOML file says how one is given a face, and what it answers."""
