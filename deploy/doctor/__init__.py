"""Looks at this machine and says what is missing, each fault with its cure."""
