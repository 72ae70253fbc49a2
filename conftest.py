"""What every test shares. left4me.testing.environment, loaded even earlier, gives them a data directory."""

pytest_plugins = [
    "left4me.testing.audit_rows",
    "left4me.testing.browser",
    "left4me.testing.caller",
    "left4me.testing.cast",
    "left4me.testing.needs",
    "left4me.testing.redis_server",
    "left4me.testing.static_files",
    "left4me.testing.testhost",
]
