"""Hosts, blueprints and servers as rows."""
