"""Figures for Prometheus, from rows and Redis: one scrape of the web tells of every process on every host."""
