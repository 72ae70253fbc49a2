"""Ways to sign in beside the password: a provider of OpenID Connect, and Steam. Owners of accounts link them."""
