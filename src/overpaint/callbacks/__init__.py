"""What happens beside the steps: showing, keeping, stopping, warning.

No callback changes the picture.
"""
