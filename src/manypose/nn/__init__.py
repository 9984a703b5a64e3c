"""Network parts that two or more papers use."""
