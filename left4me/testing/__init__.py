"""What tests of all apps share; nothing of the application imports it."""
