"""What recording the OpenAI Agents SDK is made of."""
