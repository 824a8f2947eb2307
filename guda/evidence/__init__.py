"""Evidence: one ZIP that holds an attribution and what it was computed from, and its check."""
