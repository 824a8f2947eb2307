"""How well scores agree with LOGO, leave-one-group-out retraining: data, oracle, runner, report."""
