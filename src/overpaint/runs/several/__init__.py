"""A run whose picture several processes paint: what they all do, and the others as a program."""
