"""What left4me is compared with: other programs that do the same work, and floors, the least that the work takes.

Each is set up as well as it can be, in a module that is named after it. A peer that is missing or fails raises an
exception with the reason, which the bench prints and records in place of a figure.
"""
