"""What Agent Framework's own spans lack; installed by the Agent Framework integration."""
