"""Colours as people see them, and bringing one picture to those of another."""
