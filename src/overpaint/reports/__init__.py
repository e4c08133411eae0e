"""What is looked at after runs: pictures and pages made of what they left.

Nothing here optimises.
"""
