"""Error analysis: which errors reduce the AP, and a report."""
