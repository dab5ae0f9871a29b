"""What a traced network costs: every figure as a reading of its trace. No torch here."""
