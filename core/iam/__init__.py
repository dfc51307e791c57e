"""Identity: organizations, users, tokens, and who a request comes from."""
