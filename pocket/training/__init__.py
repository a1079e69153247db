"""Training of everything the pocket world ships, from the seed."""
