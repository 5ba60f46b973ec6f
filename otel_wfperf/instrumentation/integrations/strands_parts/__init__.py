"""What the integration of Strands is made of."""
