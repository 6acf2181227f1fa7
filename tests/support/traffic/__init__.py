"""Traffic against a running service, each response checked: shared by the soak test and the chaos test."""
