"""Fixtures and helpers for the tests of all apps. The application imports none of them."""
