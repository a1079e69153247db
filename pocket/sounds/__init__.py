"""Procedural sound events of the pocket world: signal models with random parameters, at 16 kHz."""
