"""Bytes in and out, safely: photos, videos, files. Knows nothing of people."""
