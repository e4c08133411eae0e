"""Pictures larger than memory: the network in horizontal bands of rows, and which bands."""
