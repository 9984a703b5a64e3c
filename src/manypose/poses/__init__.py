"""The people of one image: what they are, their geometry, drawing and file formats."""
