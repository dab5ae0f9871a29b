"""What a network does on this machine."""
