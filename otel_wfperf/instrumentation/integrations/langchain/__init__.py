"""What LangChain's callbacks tell, turned into operations; installed by the LangGraph integration."""
