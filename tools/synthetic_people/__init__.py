"""Drawn and rendered people, written as ordinary COCO data sets."""
