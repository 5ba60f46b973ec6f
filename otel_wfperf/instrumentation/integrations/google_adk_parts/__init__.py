"""What the integration of the Google ADK is made of."""
