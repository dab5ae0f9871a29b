"""What is wrong with images before a network is trained on them."""
