"""Settings to objects.

Below this room nobody knows the settings; above it nobody makes parts by hand.
"""
