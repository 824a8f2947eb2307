"""From noise levels to a verdict: where the evaluations go, ELBO terms, their differences."""
