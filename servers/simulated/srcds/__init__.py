"""A small program that behaves like L4D2's dedicated server where a control panel can tell the difference."""
