"""Networks trained: rightly, durably, to the bit."""
