"""One folder an experiment: setting, run, figures, study files."""
