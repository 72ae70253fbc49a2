"""How the content of overlays comes to hosts beside the web's own: the web serves it, who needs it pulls it.

A *manifest* names every file with its hash; a *copy* is what a host has made of one, a directory that never changes.
"""
