"""A small program that behaves like L4D2's dedicated server in everything that a control panel can observe."""
