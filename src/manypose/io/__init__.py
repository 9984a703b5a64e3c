"""Reading and writing of photos, videos and files; independent of poses."""
