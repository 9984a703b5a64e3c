"""Why the AP is what it is: errors by kind, and a report."""
