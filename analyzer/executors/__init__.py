"""Where work runs: this process, several of this machine, a cluster."""
