"""What recording pydantic-ai is made of."""
