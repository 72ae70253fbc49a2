"""Pages of servers, their shares and passwords, and of blueprints."""
