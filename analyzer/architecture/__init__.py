"""What a network is: traced once, read many ways. No torch here."""
