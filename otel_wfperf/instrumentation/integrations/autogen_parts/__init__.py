"""What AutoGen's teams, agents, tools, models and messages tell; installed by the AutoGen integration."""
