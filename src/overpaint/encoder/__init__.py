"""The frozen network, its weights and its layers' names.

What is made of its features is in `losses`.
"""
