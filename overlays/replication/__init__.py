"""Replication of overlays to hosts other than the web's: the web serves their content, and the other hosts pull it.

A *manifest* lists every file with its hash. A *copy* is a directory made from a manifest; it never changes.
"""
