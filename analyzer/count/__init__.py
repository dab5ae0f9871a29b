"""What a network costs, exactly."""
