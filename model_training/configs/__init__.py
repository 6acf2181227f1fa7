"""One file per training run: data, hyperparameters, command, hardware and result."""
