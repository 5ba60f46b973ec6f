"""What replaces methods of smolagents; installed by the smolagents integration."""
