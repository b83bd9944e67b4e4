"""better-auth as a peer."""
