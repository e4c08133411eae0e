"""The picture as a parameter, and what moves it: module, optimisers, schedules, devices.

No files.
"""
