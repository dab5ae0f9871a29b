"""A network as a file that others run, checked against the network itself."""
