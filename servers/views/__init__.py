"""The pages of servers, blueprints and hosts."""
