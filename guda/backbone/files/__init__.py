"""Checkpoints on disk: told apart, refused with the remedy, or loaded. Nothing is ever fetched."""
