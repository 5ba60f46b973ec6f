"""What replaces methods of Agno; installed by the Agno integration."""
