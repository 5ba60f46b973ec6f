"""What CrewAI's own functions do, turned into operations; installed by the CrewAI integration."""
