"""The images that networks are trained on: opened without decoding, decoded one by one, split, checked."""
