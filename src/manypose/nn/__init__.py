"""Network components shared by two or more methods."""
