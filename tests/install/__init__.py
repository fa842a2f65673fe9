"""How the project is installed: the lock, `make`, the Dockerfile, and what keeps them current."""
