"""Claims, judges, intervals, power, multiplicity, witnesses, runner."""
