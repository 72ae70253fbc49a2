"""Prometheus metrics from the database and Redis. One scrape of the web process covers all processes and hosts."""
