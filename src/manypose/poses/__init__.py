"""Poses of the people of one image: skeletons, boxes, geometry, drawing and file formats."""
