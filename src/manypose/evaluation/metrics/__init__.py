"""The field's metrics, one file each."""
