"""Pictures of 16 bits per channel: read, converted and written without going through 8.

It knows no tensors.
"""
