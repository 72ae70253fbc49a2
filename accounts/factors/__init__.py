"""What is asked for beside a password: codes of an authenticator app, recovery codes."""
