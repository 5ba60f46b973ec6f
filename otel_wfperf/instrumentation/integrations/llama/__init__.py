"""What LlamaIndex's dispatcher tells, turned into operations; installed by the LlamaIndex integration."""
