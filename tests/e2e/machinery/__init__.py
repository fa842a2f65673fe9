"""What the end-to-end tests run on: control planes, a node, Helm, the programs, and what is installed."""
